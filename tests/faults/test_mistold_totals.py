"""A registry that tells another total for ranges than the whole has: a pull fails once at most."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from facade.registries.wrong_bytes_backoff import FIRST_WAIT_SECONDS
from facade.values.piece import PIECE_BYTES
from tests.faults.mixtures import BLOB, LENGTH, REPOSITORY, Asked, right, serve
from tests.faults.stored_world import World
from tests.support.simulators.behaviour import Behaviour, BreaksAt, Ranged

MISTOLD: list[Behaviour] = [
    Ranged(total_off=1),
    Ranged(total_off=PIECE_BYTES),
    Ranged(total_off=-1),
    Ranged(total_off=-PIECE_BYTES),
    # It also promises the byte that there is not, and says nothing more.
    BreaksAt(0, times=0, ranges="other_total"),
]
RANGES: list[Asked] = [(0, 2), (5 * PIECE_BYTES, 9 * PIECE_BYTES), (LENGTH - 99, LENGTH)]
SECONDS: Final = 50.0  # for all tries: less than the minute that a silent registry has


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two facades' stores on one folder; of the second one no range ends before the proof."""
    world = await World.start(tmp_path, 64 * PIECE_BYTES, "g")
    yield world
    await world.stop()


@pytest.mark.parametrize("process", [0, 1])
@pytest.mark.parametrize("first", RANGES)
@pytest.mark.parametrize("mistold", MISTOLD, ids=str)
async def test_the_second_try_is_right(
    world: World, mistold: Behaviour, first: Asked, process: int
) -> None:
    """Of a range, and then of the whole, although ranges are asked for first."""
    serve(world, mistold)
    [wanted] = right([first])
    async with asyncio.timeout(SECONDS):
        for asked, body in ((first, wanted), (None, BLOB.content)):
            got = await world.processes[process].pull(world.hosts["g"], REPOSITORY, BLOB, asked)
            await world.settled()
            if got is None:
                await asyncio.sleep(FIRST_WAIT_SECONDS)  # wrong bytes are not asked for at once
                got = await world.processes[process].pull(world.hosts["g"], REPOSITORY, BLOB, asked)
            assert got == body
