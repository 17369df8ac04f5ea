"""What pulls leave to the garbage collector: the heap grows to what waits for it, and stays so."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Literal

import pytest

from shared.oci import Kind
from tests.faults.stored_world import Content, World
from tests.growth.measured import Growth, Sizes
from tests.support.eventually import eventually, some_turns
from tests.support.leftovers import leftovers
from tests.support.simulators.behaviour import Behaviour, Holds, Honest

SIZES: Final = Sizes(small=(4, 8, 16), full=(100, 400, 1_600))
LEFT: Final = "G13 cold pulls, objects left to the collector"
REPOSITORY: Final = "team/app"
BLOB_BYTES: Final = 64 * 1024
STORE_BYTES: Final = 2**28  # all of them have room
End = Literal["the facade stops", "its reader leaves", "it is revoked"]


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
            await some_turns()  # the ends of tasks
        growth.point(LEFT, size=size, cost=len(left.objects), unit="objects")
    growth.holds(LEFT, exponent=0, at_most=0)


@pytest.mark.parametrize("how", ["the facade stops", "its reader leaves", "it is revoked"])
async def test_a_download_that_is_stopped_leaves_nothing_to_the_collector(
    world: World, how: End
) -> None:
    """Its task kept frames, and they kept the task; its connection and its body kept each other."""
    await _stop(world, 0, "its reader leaves")  # what is made once is made
    with leftovers() as left:
        await _stop(world, 1, how)
    assert (left.frames, left.objects) == ([], [])


def _serve(world: World, number: int, get: Behaviour) -> Content:
    content = Content(f"blob {number}", Kind.BLOB, number.to_bytes(4, "big") * (BLOB_BYTES // 4))
    world.hosts["g"].serve(content, REPOSITORY, get, None)
    return content


async def _pull(world: World, number: int) -> None:
    content = _serve(world, number, Honest())
    pull = world.processes[0].pull(world.hosts["g"], REPOSITORY, content, None)
    assert await pull == content.content


async def _stop(world: World, number: int, how: End) -> None:
    """Begin a download, and end it in the middle; return when nothing of it is under way."""
    host, process, holds = world.hosts["g"], world.processes[0], Holds(BLOB_BYTES // 2)
    content = _serve(world, number, holds)
    pull = asyncio.create_task(process.pull(host, REPOSITORY, content, None))
    partial = world.partial(host, content, REPOSITORY)
    await eventually(lambda: partial.exists() and partial.stat().st_blocks > 0)
    match how:
        case "its reader leaves":
            pull.cancel()
            await asyncio.wait([pull])
            await process.flights.land()
        case "the facade stops":
            await process.flights.land()
        case "it is revoked":
            process.work.revoke(host.connection.id)
            host.rotations += 1  # approved again
    await asyncio.wait([pull])
    holds.gate.set()
    await world.settled()
    await eventually(lambda: host.simulator.open_connections == 0)
    await some_turns()  # the ends of tasks
