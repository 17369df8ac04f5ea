"""What is remembered of readers that left an arriving blob, and who of those that wait is woken."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self

from attrs import define

from facade.arrivals.arrival import Progress
from facade.arrivals.arrival_state import ArrivalMachine, ArrivalState
from facade.arrivals.gaps import ALIGNED_BYTES
from facade.arrivals.want import Ends, Want
from facade.store.ingest_file import OwnedIngest
from facade.values.piece import PIECE_BYTES
from shared.oci import RepositoryName

PIECES = 16
LENGTH = PIECES * ALIGNED_BYTES - 5


def progress(folder: Path, length: int | None = LENGTH) -> Progress:
    """Return that of a blob of which the first half has come; None: nobody knows its length."""
    ingest = OwnedIngest.acquire(folder)
    assert ingest is not None
    machine = ArrivalMachine()
    machine.advance(ArrivalState.ARRIVING)
    arrives = Progress(ingest.reader(length), RepositoryName.parse("team/app"), machine)
    arrives.advance(0, LENGTH // 2 - LENGTH // 2 % ALIGNED_BYTES)
    return arrives


def leave_after(arrives: Progress, first: int, end: int) -> None:
    """Have a reader of a range come and leave at once."""
    want = Want(first, end, Ends.WITH_ITS_BYTES, is_all=False)
    arrives.want(want)
    arrives.leave(want)


def test_a_device_that_asks_for_each_byte_takes_no_memory(tmp_path: Path) -> None:
    """Pieces are remembered, and none that has come."""
    arrives = progress(tmp_path / "arriving")
    for byte in range(0, LENGTH - 1, 100):
        leave_after(arrives, byte, byte + 1)
    spans = list(arrives.asked)
    assert len(spans) == 1
    assert spans[0] == (arrives.reached, LENGTH)


@define
class Waiting:
    """A reader that waits for more. `moved`: what it is woken by."""

    reading: Coroutine[Any, Any, int]
    moved: "asyncio.Future[None]"

    @classmethod
    def begin(cls, arrives: Progress, want: Want) -> Self:
        """Let a reader of an arriving blob wait."""
        arrives.want(want)
        reading = arrives.sendable(want)
        moved = reading.send(None)
        assert isinstance(moved, asyncio.Future)
        return cls(reading, moved)

    def end(self) -> bool:
        """Leave; tell whether it was woken."""
        self.reading.close()
        return self.moved.done()


def range_behind(piece: int) -> Want:
    """Return what a range wants that begins so many pieces after the first."""
    return Want(piece * ALIGNED_BYTES, LENGTH, Ends.WITH_ITS_BYTES, is_all=False)


async def test_only_a_reader_that_can_go_on_is_woken(tmp_path: Path) -> None:
    """A wake-up goes all the way down to the reader; of a herd in ranges most wait elsewhere."""
    arrives = progress(tmp_path / "arriving")
    near, far = (Waiting.begin(arrives, range_behind(piece)) for piece in (8, 12))
    arrives.advance(8 * ALIGNED_BYTES, 9 * ALIGNED_BYTES)
    assert near.end()
    assert not far.end()


async def test_a_range_in_step_is_woken_by_bytes_anywhere(tmp_path: Path) -> None:
    """How much of it may be sent depends on how much of the whole has come."""
    arrives = progress(tmp_path / "arriving")
    want = Want(0, LENGTH, Ends.IN_STEP)
    want.at = await arrives.sendable(want)
    in_step = Waiting.begin(arrives, want)
    arrives.advance(12 * ALIGNED_BYTES, 13 * ALIGNED_BYTES)
    assert in_step.end()


async def test_a_reader_of_unknown_length_is_woken_by_bytes_far_before_it(tmp_path: Path) -> None:
    """A piece is held back behind it until something follows."""
    arrives = progress(tmp_path / "arriving", None)
    arrives.advance(0, PIECE_BYTES)
    held_back = Waiting.begin(arrives, Want.whole(None))
    arrives.advance(PIECE_BYTES, PIECE_BYTES + ALIGNED_BYTES)
    assert held_back.end()


async def test_everybody_is_woken_by_the_end(tmp_path: Path) -> None:
    """Whoever waits for bytes that will never come is told."""
    arrives = progress(tmp_path / "arriving")
    waiting = [Waiting.begin(arrives, range_behind(piece)) for piece in (8, 12)]
    arrives.machine.fail(OSError("the disk is full"))
    arrives.tell()
    assert [each.end() for each in waiting] == [True, True]
