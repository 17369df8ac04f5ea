"""The hash of an arriving blob: what an earlier flight has left is hashed when it is needed."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from facade.arrivals.arrival import Progress
from facade.arrivals.arrival_state import ArrivalMachine
from facade.arrivals.gaps import ALIGNED_BYTES
from facade.arrivals.hash_along import HashAlong
from facade.arrivals.verified_pieces import PieceVerifier
from facade.store.ingest_file import OwnedIngest
from shared.oci import Digest, RepositoryName

CONTENT = bytes(range(251)) * 1024
LENGTH = len(CONTENT)
LEFT = 4 * ALIGNED_BYTES  # of it, by an earlier flight
DIGEST = Digest("sha256", hashlib.sha256(CONTENT).hexdigest())


class Arriving:
    """A blob of which a flight brings everything behind what there is."""

    def __init__(self, folder: Path, left: int) -> None:
        ingest = OwnedIngest.acquire(folder)
        assert ingest is not None
        self._ingest = ingest
        repository = RepositoryName.parse("team/app")
        self.progress = Progress(ingest.reader(LENGTH), repository, ArrivalMachine())
        if left:
            self.write(0, left)
        self.verifier = PieceVerifier(DIGEST, LENGTH)
        self.hash = HashAlong(self.verifier, self.progress, LENGTH)

    def write(self, first: int, end: int) -> None:
        """Have some of it come, and be hashed as far as it is."""
        self._ingest.segment(first, LENGTH).append([CONTENT[first:end]])
        self.progress.advance(first, end)


async def test_what_was_left_is_hashed_when_the_proof_is_needed(tmp_path: Path) -> None:
    """A device that reads ranges with pauses begins a flight with each."""
    arriving = Arriving(tmp_path / "arriving", LEFT)
    hashing = arriving.hash.to_the_end()
    waits_for: asyncio.Future[None] = hashing.__await__().send(None)
    arriving.write(LEFT, LENGTH)
    arriving.hash.take_written(LEFT, LENGTH)
    arriving.hash.note()
    assert not waits_for.done()
    assert not arriving.verifier.taken
    arriving.hash.need()
    assert waits_for.done()
    hashing.close()


@pytest.mark.parametrize("left", [0, LEFT], ids=["a new blob", "what was left"])
async def test_all_of_it_is_hashed(tmp_path: Path, left: int) -> None:
    """In whatever flights it came."""
    arriving = Arriving(tmp_path / "arriving", left)
    if left:
        arriving.hash.need()
    arriving.write(left, LENGTH)
    await arriving.hash.to_the_end()
    assert arriving.verifier.taken == LENGTH


async def test_a_new_blob_is_hashed_as_it_is_written(tmp_path: Path) -> None:
    """Its bytes are in the processor's cache then."""
    arriving = Arriving(tmp_path / "arriving", 0)
    arriving.write(0, LEFT)
    arriving.hash.take_written(0, LEFT)
    assert arriving.verifier.taken == LEFT
