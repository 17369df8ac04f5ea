"""A control plane for all tests that leave it as it is, and one of its own for each other."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvloop

from control_plane.migrate import migrate
from deploy.dev.postgres import Postgres
from shared.postgres.database_url import read_database_url
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    KeyFiles,
    copy_of,
    make_keys,
    make_template,
)
from tests.support.database import Database


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    """An installation's two key pairs."""
    return make_keys(tmp_path_factory.mktemp("installation") / "keys")


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """The name of a migrated database that others are copied from; nobody connects to it."""
    name = "control_plane_template"
    make_template(postgres, name)
    return name


@pytest.fixture(scope="session")
def migrated(postgres: Postgres, template: str) -> Database:
    """A database that was migrated itself; tests leave it empty.

    A copy has not the rights on the database, only those on what is in it.
    """
    database = copy_of(postgres, template)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(migrate(read_database_url(database.superuser_url)))
    return database


@pytest.fixture
def database(postgres: Postgres, template: str) -> Iterator[Database]:
    """A migrated database of the test's own."""
    copy = copy_of(postgres, template)
    yield copy
    postgres.sql(f'DROP DATABASE "{copy.name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def plane(
    postgres: Postgres, template: str, keys: KeyFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """A control plane with alice, bob, root and eve. Each test takes hosts of its own."""
    folder = tmp_path_factory.mktemp("control-plane")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        started = runner.run(_start(copy_of(postgres, template), keys, folder))
    yield started
    started.stop()


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
    return await ControlPlane.start(
        folder,
        owner_url=database.superuser_url,
        url=database.url(LOGIN_ROLE, LOGIN_PASSWORD),
        keys=keys,
    )
