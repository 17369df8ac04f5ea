"""Who may still join a download that is about to end."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from facade.content.held_back import PIECE_BYTES
from facade.store.file_lock import lock_exclusively
from shared.oci import Kind
from tests.faults.stored_world import Content, World
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Holds

REPOSITORY = "team/app"
BLOB = Content("blob", Kind.BLOB, bytes(range(256)) * (2 * PIECE_BYTES // 256))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two facades' stores on one folder, before a registry that has the blob."""
    world = await World.start(tmp_path, 16 * PIECE_BYTES, "g")
    yield world
    await world.stop()


async def test_what_has_moved_to_its_place_is_read_as_stored_and_checked(world: World) -> None:
    """Else who comes between the move and the download's end reads what nobody checks any more."""
    host, process = world.hosts["g"], world.processes[0]
    holds = Holds(PIECE_BYTES)
    host.serve(BLOB, REPOSITORY, holds, None)
    first = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, None))
    await eventually(world.partial(host, BLOB).exists)
    await eventually(lambda: world.partial(host, BLOB).stat().st_size > 0)
    evictor = os.open(world.layout.evictor_lock, os.O_RDWR | os.O_CREAT)
    assert lock_exclusively(evictor)  # the proven blob waits to be moved
    holds.gate.set()
    assert await first == BLOB.content
    place = world.layout.blob(BLOB.digest)
    place.parent.mkdir(parents=True)
    world.partial(host, BLOB).rename(place)
    with place.open("r+b") as file:
        file.write(b"rot")
    late = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, None))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(late), 0.1)
    os.close(evictor)
    assert await late == BLOB.content
    await eventually(lambda: world.is_stored(BLOB))
    assert await process.pull(host, REPOSITORY, BLOB, None) == BLOB.content
