"""Places of a registry's spare streams: whoever does not use one leaves it to the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attrs import evolve

from facade.registries.spare_streams import MAX_SPARE_STREAMS, SpareStreams
from facade.values.piece import PIECE_BYTES
from tests.faults.mixtures import BLOB, LENGTH, REPOSITORY, Asked, serve
from tests.faults.stored_world import EAGER, World
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Holds, InTurn, Ranged

SLOW = Ranged(piece_bytes=PIECE_BYTES // 8, pause_seconds=0.05)  # eight seconds for the blob
LATE = Ranged(piece_bytes=2 * LENGTH, pause_seconds=0.3)  # each answer comes at once, but late


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two facades' stores on one folder, which widen as soon as they can."""
    world = await World.start(tmp_path, 64 * PIECE_BYTES, "g", growth=EAGER)
    yield world
    await world.stop()


@asynccontextmanager
async def crowded(world: World) -> AsyncIterator[SpareStreams]:
    """Have another blob of the registry take every place; it gives all back at the end."""
    async with world.processes[0].upstreams.lease(world.hosts["g"].connection) as upstream:
        spare = upstream.spare_streams
        other = spare.claim("another", lambda: None)
        assert all(other.take() for _ in range(MAX_SPARE_STREAMS))
        yield spare
        for _ in range(MAX_SPARE_STREAMS):
            other.give_back()


def begin(world: World, asked: Asked) -> asyncio.Task[bytes | None]:
    """Begin to pull."""
    pull = world.processes[0].pull(world.hosts["g"], REPOSITORY, BLOB, asked)
    return asyncio.create_task(pull)


async def test_a_blob_whose_whole_nobody_reads_any_more_keeps_no_place(world: World) -> None:
    """Nor does it wait for one, while a range of it goes on."""
    serve(world, SLOW)
    async with crowded(world) as spare:
        part, whole = begin(world, (0, 15 * PIECE_BYTES)), begin(world, None)
        await eventually(lambda: spare.waiting == 1)
        whole.cancel()
        await eventually(lambda: spare.waiting == 0)
        assert not part.done()
    assert spare.taken == 0
    assert await part == BLOB.content[: 15 * PIECE_BYTES]


async def test_a_blob_of_which_the_registry_gives_the_whole_keeps_no_place(world: World) -> None:
    """It comes in one stream from then on."""
    holds = Holds(1, names_length=False)
    serve(world, InTurn((evolve(SLOW, breaks_at=LENGTH // 2, times=1), holds)))
    async with crowded(world) as spare:
        whole = begin(world, None)
        await eventually(lambda: spare.waiting == 1)
        await eventually(lambda: spare.waiting == 0)
        assert not whole.done()
    assert spare.taken == 0
    holds.gate.set()
    assert await whole == BLOB.content


async def test_several_streams_that_begin_late_take_over_different_spans(world: World) -> None:
    """Only one at a time takes from the same stream: until it begins, that one goes on."""
    serve(world, InTurn((SLOW, LATE)))
    pull = world.processes[0].pull(world.hosts["g"], REPOSITORY, BLOB, None)
    assert await pull == BLOB.content
    asked = [request.header("Range") for request in world.hosts["g"].simulator.pulls]
    assert len(asked) > 2
    assert len(asked) == len(set(asked))
