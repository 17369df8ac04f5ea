"""A world of stores, for tests of what arrives in them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from facade.values.piece import PIECE_BYTES
from tests.faults.stored_world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two facades' stores on one folder, before a registry."""
    world = await World.start(tmp_path, 64 * PIECE_BYTES, "g")
    yield world
    await world.stop()
