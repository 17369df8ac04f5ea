"""Readers of one arriving blob share what they read, and get every byte once, in order."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.content.arrival import ArrivalEndedError, Progress, StoreGaveUpError
from facade.content.arriving_pieces import ArrivingPieces, Failure
from facade.content.held_back import PIECE_BYTES
from facade.content.source import Piece, PiecesAtHand
from facade.pulls.byte_range import Span
from facade.store.cached_read import READ_BYTES
from shared.oci import RepositoryName

CONTENT = random.Random(7).randbytes(3 * PIECE_BYTES + 17)  # noqa: S311 - any bytes will do
LENGTH = len(CONTENT)
REPOSITORY = RepositoryName.parse("team/app")


@pytest.fixture(scope="module")
def descriptor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The file, as it is at the end: how much of it may be read, `reached` says."""
    path: Path = tmp_path_factory.mktemp("ingest") / "data"
    path.write_bytes(CONTENT)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def arrival(descriptor: int, reached: int = 0) -> Progress:
    """Return a blob of which so much has come, read by two."""
    progress = Progress(descriptor, LENGTH, REPOSITORY, reached)
    progress.readers.join()
    progress.readers.join()
    return progress


def never(_: Failure, _offset: int, _end: int) -> AsyncIterator[Piece]:
    """Fail: the store did not."""
    raise AssertionError


def at_hand(pieces: ArrivingPieces) -> list[Piece]:
    """Return what is there without waiting."""
    found = []
    while (piece := pieces.next_now()) is not None:
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
    descriptor: int, first: int, count: int, moves: list[int]
) -> None:
    """Whatever span is asked for, however the blob arrives."""
    span = Span(first, min(count, LENGTH - first), LENGTH)

    async def follow() -> None:
        progress = arrival(descriptor)
        pieces = ArrivingPieces(progress, span, never)
        assert isinstance(pieces, PiecesAtHand)
        received: list[Piece] = []

        async def receive() -> None:
            received.extend([piece async for piece in pieces])

        reading = asyncio.create_task(receive())
        for move in moves:
            progress.move_by(min(move, LENGTH - progress.reached))
            await asyncio.sleep(0)
            sent = sum(map(len, received))
            assert first + sent <= max(first, progress.reached)
            assert sent <= max(0, span.count - PIECE_BYTES)
        progress.move_by(LENGTH - progress.reached)
        progress.prove()
        await reading
        assert joined(received) == CONTENT[span.first : span.end]

    asyncio.run(follow())


async def test_two_readers_share_what_one_of_them_has_read(descriptor: int) -> None:
    """Also pieces that end where the blob had come to."""
    progress = arrival(descriptor, reached=READ_BYTES + 100)
    ahead = ArrivingPieces(progress, Span.whole(LENGTH), never)
    behind = ArrivingPieces(progress, Span.whole(LENGTH), never)
    read = [await anext(ahead), *at_hand(ahead)]
    assert [len(piece) for piece in read] == [READ_BYTES, 100]
    again = [await anext(behind), *at_hand(behind)]
    assert joined(again) == joined(read) == CONTENT[: READ_BYTES + 100]
    for one, other in zip(read, again, strict=True):
        assert isinstance(one, memoryview)
        assert isinstance(other, memoryview)
        assert one.obj is other.obj


async def test_nothing_is_at_hand_behind_what_has_come(descriptor: int) -> None:
    """The one who asks has to wait, and is told of the end by the other way."""
    progress = arrival(descriptor, reached=10)
    pieces = ArrivingPieces(progress, Span.whole(LENGTH), never)
    assert pieces.next_now() is None
    assert bytes(await anext(pieces)) == CONTENT[:10]
    assert pieces.next_now() is None
    progress.fail(OSError("gone"))
    assert pieces.next_now() is None
    with pytest.raises(ArrivalEndedError):
        await anext(pieces)


async def test_where_the_store_gives_up_the_rest_comes_from_elsewhere(descriptor: int) -> None:
    """From the byte reached to the end of the span, and never twice."""
    asked: list[tuple[int, int]] = []

    async def rest(offset: int, end: int) -> AsyncIterator[Piece]:
        asked.append((offset, end))
        yield CONTENT[offset:end]

    progress = arrival(descriptor, reached=1000)
    span = Span(10, LENGTH - 100, LENGTH)  # to 90 bytes before the end
    pieces = ArrivingPieces(progress, span, lambda _, offset, end: rest(offset, end))
    received: list[Piece] = [await anext(pieces)]
    progress.fail(StoreGaveUpError())
    async for piece in pieces:
        received.append(piece)
        assert pieces.next_now() is None
    assert joined(received) == CONTENT[span.first : span.end]
    assert asked == [(1000, span.end)]
