"""What devices are given of a cold blob before it is written is what is hashed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from facade.arrivals.gaps import ALIGNED_BYTES
from facade.values.piece import PIECE_BYTES
from tests.faults.mixtures import BLOB, pulled, serve
from tests.faults.stored_world import World
from tests.support.simulators.behaviour import InTurn, Ranged


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two facades' stores on one folder, before a registry that has the blob."""
    world = await World.start(tmp_path, 64 * PIECE_BYTES, "g")
    yield world
    await world.stop()


@pytest.mark.parametrize("came", [1, ALIGNED_BYTES // 2, ALIGNED_BYTES - 1])
async def test_a_beginning_that_comes_again_is_not_joined_to_what_came_first(
    world: World, came: int
) -> None:
    """A wrong byte, a break, then the whole anew and right, in reads that end at the same byte."""
    broken = Ranged(breaks_at=came, wrong="first", then="close")
    reads = came if came > 1 else ALIGNED_BYTES
    anew = Ranged(refuses="all", piece_bytes=reads, pause_seconds=0.005)
    serve(world, InTurn((broken, anew)))
    [body] = await pulled(world, [None])
    assert body in (None, BLOB.content)
