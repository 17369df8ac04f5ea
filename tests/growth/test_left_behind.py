"""What pulls leave to the garbage collector: the heap grows to what waits for it, and stays so."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from shared.oci import Kind
from tests.faults.stored_world import Content, World
from tests.growth.measured import Growth, Sizes
from tests.support.leftovers import leftovers
from tests.support.simulators.behaviour import Honest

SIZES: Final = Sizes(small=(4, 8, 16), full=(100, 400, 1_600))
LEFT: Final = "G13 cold pulls, objects left to the collector"
REPOSITORY: Final = "team/app"
BLOB_BYTES: Final = 64 * 1024
STORE_BYTES: Final = 2**28  # all of them have room


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A facade's store before a registry."""
    world = await World.start(tmp_path, STORE_BYTES, "g")
    yield world
    await world.stop()


async def test_a_cold_pull_leaves_nothing_to_the_collector(world: World, growth: Growth) -> None:
    """Three cycles of ours left 120 objects each time."""
    pulled = 0
    await _pull(world, pulled)  # what is made once is made
    for size in growth.sizes(SIZES):
        with leftovers() as left:
            for _ in range(size):
                pulled += 1
                await _pull(world, pulled)
            await asyncio.sleep(0.01)  # the ends of tasks
        growth.point(LEFT, size=size, cost=len(left.objects), unit="objects")
    growth.holds(LEFT, exponent=0, at_most=0)


async def _pull(world: World, number: int) -> None:
    host = world.hosts["g"]
    content = Content(f"blob {number}", Kind.BLOB, number.to_bytes(4, "big") * (BLOB_BYTES // 4))
    host.serve(content, REPOSITORY, Honest(), None)
    assert await world.processes[0].pull(host, REPOSITORY, content, None) == content.content
