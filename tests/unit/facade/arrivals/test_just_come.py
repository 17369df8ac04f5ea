"""What comes first is given before it is written, and never differs from what the file has."""

import random
from pathlib import Path

import pytest
from attrs import frozen

from facade.arrivals.arrival import Progress
from facade.arrivals.arrival_state import ArrivalMachine, ArrivalState
from facade.arrivals.gaps import ALIGNED_BYTES, NEAR_BYTES
from facade.arrivals.just_come import MOST_SHOWN_BYTES, FirstPieces
from facade.arrivals.want import Ends, Want
from facade.store.ingest_file import OwnedIngest
from facade.values.piece import PIECE_BYTES, WrongBytesError
from shared.oci import RepositoryName

PIECES = 16
LENGTH = PIECES * ALIGNED_BYTES - 5
CONTENT = random.Random(23).randbytes(LENGTH)  # noqa: S311 - any bytes will do
HALF = ALIGNED_BYTES // 2


@pytest.fixture
def ingest(tmp_path: Path) -> OwnedIngest:
    """A file of which nothing has come."""
    ingest = OwnedIngest.acquire(tmp_path / "arriving")
    assert ingest is not None
    return ingest


@pytest.fixture
def arrives(ingest: OwnedIngest) -> Progress:
    """A blob of which nothing has come."""
    machine = ArrivalMachine()
    machine.advance(ArrivalState.ARRIVING)
    return Progress(ingest.reader(LENGTH), RepositoryName.parse("team/app"), machine)


def write(ingest: OwnedIngest, arrives: Progress, content: bytes, first: int = 0) -> None:
    """Have a stream bring some whole pieces."""
    sink = ingest.segment(first, LENGTH)
    sink.append([content])
    arrives.advance(first, sink.checked)


def a_range(first: int) -> Want:
    """Return what a range wants that is sent as its bytes come."""
    return Want(first, LENGTH, Ends.WITH_ITS_BYTES, is_all=False)


async def test_the_first_whole_pieces_are_read_before_they_are_written(arrives: Progress) -> None:
    """And not what comes after them, nor the part of a piece."""
    arrives.show(CONTENT[: 2 * ALIGNED_BYTES + HALF], 0)
    assert await arrives.sendable(a_range(0)) == arrives.reached == 2 * ALIGNED_BYTES
    assert arrives.read_nowait(5, LENGTH) == CONTENT[5 : 2 * ALIGNED_BYTES]
    assert await arrives.read(HALF, 7) == CONTENT[HALF : HALF + 7]
    arrives.show(CONTENT[2 * ALIGNED_BYTES + HALF :], 2 * ALIGNED_BYTES + HALF)
    assert arrives.reached == 2 * ALIGNED_BYTES


async def test_an_answer_with_the_whole_holds_its_last_piece_back(arrives: Progress) -> None:
    """Though all of it may have come: nobody knows yet whether it is right."""
    arrives.show(CONTENT, 0)
    whole = Want(0, PIECE_BYTES + ALIGNED_BYTES)
    assert await arrives.sendable(whole) == ALIGNED_BYTES


async def test_chunks_that_have_no_whole_piece_are_gathered(arrives: Progress) -> None:
    """A registry may begin with a few KiB. What was shown already is passed over."""
    for end in (HALF, HALF + 100, ALIGNED_BYTES + 100):
        assert arrives.reached == 0
        begin = {HALF: 0, HALF + 100: HALF}.get(end, HALF + 100)
        for _ in range(2):
            arrives.show(CONTENT[begin:end], begin)
        arrives.show(CONTENT[-HALF:], LENGTH - HALF)  # another stream's
    assert arrives.read_nowait(0, LENGTH) == CONTENT[:ALIGNED_BYTES]


@pytest.mark.parametrize("begin", [0, ALIGNED_BYTES])
@pytest.mark.parametrize("cuts", [[HALF], [100, HALF], [100, 200, HALF]])
def test_what_comes_again_is_not_joined_to_what_came_first(cuts: list[int], begin: int) -> None:
    """The first stream broke; only what the second one brings is written with its checksum."""
    first, wrong = FirstPieces(), bytes([CONTENT[begin] ^ 1]) + CONTENT[begin + 1 : begin + HALF]
    assert first.take(wrong, begin, LENGTH) is None
    ends = [*cuts, ALIGNED_BYTES]
    shown = [
        first.take(CONTENT[begin + at : begin + end], begin + at, LENGTH)
        for at, end in zip([0, *cuts], ends, strict=True)
    ]
    come = shown[-1]
    right = CONTENT[begin : begin + ALIGNED_BYTES]
    assert come is None or bytes(come.read(begin, LENGTH) or b"") == right


def test_what_another_stream_brings_across_it_is_not_joined() -> None:
    """It began before the first one did, and one of its reads ends where that broke."""
    pieces, end = FirstPieces(), ALIGNED_BYTES + HALF
    first = ALIGNED_BYTES - 100
    assert pieces.take(bytes(HALF), ALIGNED_BYTES, LENGTH) is None
    assert pieces.take(CONTENT[first:end], first, LENGTH) is None
    assert pieces.take(CONTENT[end:], end, LENGTH) is None


async def test_only_so_much_is_shown_as_no_other_stream_is_begun_for(arrives: Progress) -> None:
    """Readers that are far ahead of what was written look as if nobody brought them anything."""
    arrives.show(CONTENT, 0)
    assert arrives.reached == MOST_SHOWN_BYTES <= NEAR_BYTES


def test_the_end_of_a_blob_is_a_whole_piece() -> None:
    """Though it is shorter than others."""
    come = FirstPieces().take(CONTENT[-ALIGNED_BYTES + 5 :], LENGTH - ALIGNED_BYTES + 5, LENGTH)
    assert come is not None
    assert (come.first, come.end) == ((PIECES - 1) * ALIGNED_BYTES, LENGTH)


@pytest.mark.parametrize("first", [1, HALF])
def test_what_begins_within_a_piece_is_not_shown(first: int) -> None:
    """Nobody could tell it from what the file has."""
    assert FirstPieces().take(CONTENT[first:], first, LENGTH) is None


async def test_what_lies_before_and_behind_is_read_from_the_file(
    arrives: Progress, ingest: OwnedIngest
) -> None:
    """A reader goes through all three, however much it asks for at once."""
    ends = [0, 2 * ALIGNED_BYTES, 4 * ALIGNED_BYTES, 6 * ALIGNED_BYTES]
    write(ingest, arrives, CONTENT[: ends[1]])
    write(ingest, arrives, CONTENT[ends[2] : ends[3]], ends[2])
    arrives.show(CONTENT[ends[1] : ends[2]], ends[1])
    assert arrives.reached == ends[3]
    at_once = b""
    while len(at_once) < ends[3]:
        at_once += arrives.read_nowait(len(at_once), ends[3] - len(at_once)) or b""
    assert at_once == await arrives.read(0, ends[3]) == CONTENT[: ends[3]]


async def test_a_reader_goes_on_in_the_file_once_it_is_written(
    arrives: Progress, ingest: OwnedIngest
) -> None:
    """Memory is let go of then."""
    chunk = CONTENT[: 2 * ALIGNED_BYTES]
    arrives.show(chunk, 0)
    write(ingest, arrives, chunk)
    arrives.note_written([CONTENT[:1], chunk])
    assert arrives.just_come is None
    assert arrives.reached == 2 * ALIGNED_BYTES
    assert await arrives.read(0, 100) == CONTENT[:100]


def test_what_was_shown_and_came_differently_is_wrong(
    arrives: Progress, ingest: OwnedIngest
) -> None:
    """The stream that brought it was cut before it wrote, and another one brought other bytes."""
    chunk = CONTENT[: 2 * ALIGNED_BYTES]
    arrives.show(bytes([chunk[0] ^ 1]) + chunk[1:], 0)
    write(ingest, arrives, chunk)
    arrives.note_written([chunk])
    with pytest.raises(WrongBytesError):
        arrives.require_as_shown()


def test_what_was_shown_and_came_again_is_right(arrives: Progress, ingest: OwnedIngest) -> None:
    """Whoever brought it."""
    chunk = CONTENT[: 2 * ALIGNED_BYTES]
    arrives.show(chunk, 0)
    write(ingest, arrives, bytes(bytearray(chunk)))
    arrives.require_as_shown()


async def test_what_another_stream_has_written_is_waited_for_no_more(
    arrives: Progress, ingest: OwnedIngest
) -> None:
    """The one that showed it was cut: whoever left would have the whole brought by the others."""
    arrives.show(CONTENT[: 2 * ALIGNED_BYTES], 0)
    ahead = []
    for first in (0, ALIGNED_BYTES):
        write(ingest, arrives, CONTENT[first : first + ALIGNED_BYTES], first)
        ahead.append(arrives.is_ahead)
    assert ahead == [True, False]
    assert arrives.just_come is not None  # it is compared with the file in the end


@frozen
class Brings:
    """A stream that brings a span."""

    at: int
    end: int
    reached: int = 0


def test_what_nobody_brings_any_more_is_not_waited_for(arrives: Progress) -> None:
    """Its stream failed before it wrote, and nobody wants it: its flight would stay for nothing."""
    arrives.show(CONTENT[: 2 * ALIGNED_BYTES], 0)
    assert arrives.is_ahead  # its stream is about to begin
    arrives.has_streams = True
    brings, elsewhere = Brings(0, LENGTH), Brings(4 * ALIGNED_BYTES, LENGTH)
    ahead = []
    for streams in ([brings], [elsewhere, brings], [elsewhere], []):
        arrives.streams[:] = streams
        ahead.append(arrives.is_ahead)
    assert ahead == [True, True, False, False]
