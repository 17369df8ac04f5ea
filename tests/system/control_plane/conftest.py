"""A control plane for all tests that leave it as it is, and one of its own for each other."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvloop

from control_plane.migrate import migrate
from deploy.dev.postgres import Postgres
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    KeyFiles,
    make_keys,
    make_login_role,
)
from tests.support.database import Database


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    """An installation's two key pairs."""
    return make_keys(tmp_path_factory.mktemp("installation") / "keys")


@pytest.fixture(scope="session")
def plane(
    postgres: Postgres, keys: KeyFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """A control plane with alice, bob, root and eve. Each test takes hosts of its own."""
    postgres.create_database("control_plane")
    database = Database(postgres, "control_plane")
    folder = tmp_path_factory.mktemp("control-plane")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        started = runner.run(_start(database, keys, folder))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> Database:
    """A migrated database with the control plane's login role; tests leave it empty."""
    postgres.create_database("control_plane_migrated")
    database = Database(postgres, "control_plane_migrated")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(migrate(database.superuser_url))
    make_login_role(postgres)
    return database


@pytest.fixture
async def own_plane(
    database: Database, keys: KeyFiles, tmp_path: Path
) -> AsyncIterator[ControlPlane]:
    """One for a test that stops it or tampers with its database."""
    started = await _start(database, keys, tmp_path)
    yield started
    started.stop()


@pytest.fixture
def host() -> str:
    """A host that no other test connects."""
    return f"registry-{uuid.uuid4().hex}.example"


async def _start(database: Database, keys: KeyFiles, folder: Path) -> ControlPlane:
    await migrate(database.superuser_url)
    make_login_role(database.server)
    return await ControlPlane.start(
        folder,
        owner_url=database.superuser_url,
        url=database.url(LOGIN_ROLE, LOGIN_PASSWORD),
        keys=keys,
    )
