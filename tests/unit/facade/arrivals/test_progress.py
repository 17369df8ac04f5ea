"""What is remembered of readers that left an arriving blob."""

from pathlib import Path

from facade.arrivals.arrival import Progress
from facade.arrivals.arrival_state import ArrivalMachine, ArrivalState
from facade.arrivals.gaps import ALIGNED_BYTES
from facade.arrivals.want import Ends, Want
from facade.store.ingest_file import OwnedIngest
from shared.oci import RepositoryName

PIECES = 8
LENGTH = PIECES * ALIGNED_BYTES - 5


def progress(folder: Path) -> Progress:
    """Return that of a blob of which the first half has come."""
    ingest = OwnedIngest.acquire(folder)
    assert ingest is not None
    machine = ArrivalMachine()
    machine.advance(ArrivalState.ARRIVING)
    arrives = Progress(ingest.reader(LENGTH), RepositoryName.parse("team/app"), machine)
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
