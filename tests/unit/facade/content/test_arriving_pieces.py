"""Readers of one arriving blob share what they read, and get every byte once, in order."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Self

import pytest
from attrs import define, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from facade.arrivals.arrival import ArrivalEndedError, Progress, StoreGaveUpError
from facade.arrivals.arrival_state import ArrivalMachine, ArrivalState
from facade.arrivals.want import Want
from facade.content.arriving_pieces import ArrivingPieces, ReadFailure
from facade.content.source import PiecesNowait
from facade.store.arriving_file import DATA
from facade.store.ingest_file import OwnedIngest
from facade.store.page_cache_read import READ_BYTES
from facade.store.piece_checksums import CHECKED_BYTES
from facade.values.byte_range import Span
from facade.values.piece import PIECE_BYTES, Piece
from shared.oci import RepositoryName
from tests.support.page_cache import tells_what_is_cached
from tests.support.rot import rot

CONTENT = random.Random(7).randbytes(3 * PIECE_BYTES + 17)  # noqa: S311 - any bytes will do
LENGTH = len(CONTENT)
REPOSITORY = RepositoryName.parse("team/app")


@frozen
class ArrivingBlob:
    """A blob that arrives, read by two."""

    ingest: OwnedIngest
    progress: Progress

    @classmethod
    def begin(cls, folder: Path, count: int = 0) -> Self:
        """Have so much of it come."""
        ingest = OwnedIngest.acquire(folder)
        assert ingest is not None
        ingest.announce(LENGTH, REPOSITORY)
        ingest.append([CONTENT[:count]])
        machine = ArrivalMachine()
        machine.advance(ArrivalState.ARRIVING)
        progress = Progress(ingest.reader(LENGTH), REPOSITORY, machine)
        progress.advance(0, progress.file.checked)
        progress.readers.join()
        progress.readers.join()
        return cls(ingest, progress)

    def bring(self, count: int) -> int:
        """Have more of it come; return how much has come."""
        size = self.ingest.size
        self.ingest.append([CONTENT[size : size + count]])
        self.progress.advance(0, self.progress.file.checked)
        return self.ingest.size

    def prove(self) -> None:
        """Say that all of it was right."""
        self.ingest.prove()
        self.progress.advance(0, self.progress.file.checked)
        self.progress.machine.advance(ArrivalState.PROVEN)
        self.progress.tell()

    def fail(self, cause: Exception) -> None:
        """Say that no more comes."""
        self.progress.machine.fail(cause)
        self.progress.tell()

    def end(self) -> None:
        """Close everything."""
        self.progress.file.close()
        self.ingest.discard()


@pytest.fixture
def blob(tmp_path: Path) -> Iterator[ArrivingBlob]:
    """One of which a piece has come that is read at once, and another one that is checked."""
    blob = ArrivingBlob.begin(tmp_path / "flight", READ_BYTES + CHECKED_BYTES)
    yield blob
    blob.end()


def never(_: ReadFailure, _offset: int, _end: int | None) -> AsyncIterator[Piece]:
    """Fail: the store did not."""
    raise AssertionError


def at_hand(pieces: ArrivingPieces) -> list[Piece]:
    """Return what is there without waiting."""
    found = []
    while (piece := pieces.next_nowait()) is not None:
        found.append(piece)
    return found


def joined(pieces: list[Piece]) -> bytes:
    """Return the bytes of pieces."""
    return b"".join(map(bytes, pieces))


@given(
    first=st.integers(0, LENGTH - 1),
    count=st.integers(1, LENGTH),
    moves=st.lists(st.integers(1, PIECE_BYTES), max_size=8),
)
def test_every_byte_comes_once_and_the_last_piece_with_the_proof(
    tmp_path_factory: pytest.TempPathFactory, first: int, count: int, moves: list[int]
) -> None:
    """Whatever span is asked for, however the blob arrives."""
    span = Span(first, min(count, LENGTH - first), LENGTH)

    async def follow() -> None:
        blob = ArrivingBlob.begin(tmp_path_factory.mktemp("ingest") / "flight")
        pieces = ArrivingPieces(blob.progress, Want(span.first, span.end), never)
        assert isinstance(pieces, PiecesNowait)
        received: list[Piece] = []

        async def receive() -> None:
            received.extend([piece async for piece in pieces])

        reading = asyncio.create_task(receive())
        for move in moves:
            size = blob.bring(move)
            await asyncio.sleep(0)
            sent = sum(map(len, received))
            assert first + sent <= max(first, size)
            assert sent <= max(0, span.count - PIECE_BYTES)
        blob.bring(LENGTH)
        blob.prove()
        await reading
        blob.end()
        assert joined(received) == CONTENT[span.first : span.end]

    asyncio.run(follow())


async def test_two_readers_share_what_one_of_them_has_read(blob: ArrivingBlob) -> None:
    """Also pieces that end where the blob had come to."""
    ahead = ArrivingPieces(blob.progress, Want.whole(LENGTH), never)
    behind = ArrivingPieces(blob.progress, Want.whole(LENGTH), never)
    read = [await anext(ahead), await anext(ahead)]
    assert [len(piece) for piece in read] == [READ_BYTES, CHECKED_BYTES]
    again = [await anext(behind), *at_hand(behind)]
    assert joined(again) == joined(read) == CONTENT[: READ_BYTES + CHECKED_BYTES]
    for one, other in zip(read, again, strict=True):
        assert isinstance(one, memoryview)
        assert isinstance(other, memoryview)
        assert one.obj is other.obj


async def test_nothing_is_at_hand_behind_what_has_come(blob: ArrivingBlob, tmp_path: Path) -> None:
    """The one who asks has to wait, and is told of the end by the other way."""
    pieces = ArrivingPieces(blob.progress, Want.whole(LENGTH), never)
    assert pieces.next_nowait() is None
    assert bytes(await anext(pieces)) == CONTENT[:READ_BYTES]
    rest = at_hand(pieces)
    if not tells_what_is_cached(tmp_path):
        assert rest == []
        rest = [await anext(pieces)]
    assert rest == [CONTENT[READ_BYTES : READ_BYTES + CHECKED_BYTES]]
    blob.fail(OSError("gone"))
    assert pieces.next_nowait() is None
    with pytest.raises(ArrivalEndedError):
        await anext(pieces)


@define
class Elsewhere:
    """Gives what the store does not, and remembers what that was."""

    asked: list[tuple[int, int | None]] = field(factory=list)

    async def rest(self, _: ReadFailure, offset: int, end: int | None) -> AsyncIterator[Piece]:
        """Give the rest of a span."""
        self.asked.append((offset, end))
        yield CONTENT[offset:end]


async def test_where_the_store_gives_up_the_rest_comes_from_elsewhere(blob: ArrivingBlob) -> None:
    """From the byte reached to the end of the span, and never twice."""
    elsewhere, span = Elsewhere(), Span(10, LENGTH - 100, LENGTH)  # to 90 bytes before the end
    pieces = ArrivingPieces(blob.progress, Want(span.first, span.end), elsewhere.rest)
    received: list[Piece] = [await anext(pieces)]
    received += at_hand(pieces)
    blob.fail(StoreGaveUpError())
    async for piece in pieces:
        received.append(piece)
        assert pieces.next_nowait() is None
    assert joined(received) == CONTENT[span.first : span.end]
    assert elsewhere.asked == [(READ_BYTES + CHECKED_BYTES, span.end)]


@pytest.mark.parametrize("when", ["while it arrives", "once it is proven"])
async def test_a_late_reader_is_not_sent_what_rotted_meanwhile(
    blob: ArrivingBlob, when: str
) -> None:
    """What was sent cannot be called back: the answer is not ended cleanly."""
    late = ArrivingPieces(blob.progress, Want.whole(LENGTH), never)
    assert bytes(await anext(late)) == CONTENT[:READ_BYTES]
    blob.bring(LENGTH)
    if when == "once it is proven":
        blob.prove()
    rot(blob.ingest.folder / DATA, READ_BYTES)
    assert at_hand(late) == []
    with pytest.raises(ArrivalEndedError):
        await anext(late)


async def test_who_was_sent_nothing_gets_it_from_elsewhere(blob: ArrivingBlob) -> None:
    """And whoever reads other bytes of it is not disturbed."""
    rot(blob.ingest.folder / DATA, READ_BYTES)
    elsewhere, first = Elsewhere(), READ_BYTES + 10
    resuming = ArrivingPieces(blob.progress, Want(first, first + 100), elsewhere.rest)
    blob.bring(LENGTH)
    blob.prove()
    assert joined([piece async for piece in resuming]) == CONTENT[first : first + 100]
    assert elsewhere.asked == [(first, first + 100)]
    beginning = ArrivingPieces(blob.progress, Want(0, READ_BYTES), never)
    assert joined([piece async for piece in beginning]) == CONTENT[:READ_BYTES]
