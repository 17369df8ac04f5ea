"""A control plane for all tests that leave it as it is, and one of its own for each other."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest
import uvloop

from control_plane.database.migrate import migrate
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


class StartPlane(Protocol):
    """Starts a control plane that ends with the test."""

    async def __call__(self, settings: Mapping[str, str | None]) -> ControlPlane:
        """Return it, ready; None leaves one of the usual settings out."""


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
        started = runner.run(start_on(copy_of(postgres, template), keys, folder))
    yield started
    started.stop()


@pytest.fixture
async def start_plane(
    database: Database, keys: KeyFiles, tmp_path: Path
) -> AsyncIterator[StartPlane]:
    """Start a test's own control plane, once, with settings beside the usual ones."""
    started: list[ControlPlane] = []

    async def start(settings: Mapping[str, str | None]) -> ControlPlane:
        started.append(await start_on(database, keys, tmp_path, settings))
        return started[-1]

    yield start
    for plane in started:
        plane.stop()


@pytest.fixture
async def own_plane(start_plane: StartPlane) -> ControlPlane:
    """One for a test that stops it or tampers with its database."""
    return await start_plane({})


@pytest.fixture
def host() -> str:
    """A host that no other test connects."""
    return f"registry-{uuid.uuid4().hex}.example"


async def start_on(
    database: Database,
    keys: KeyFiles,
    folder: Path,
    settings: Mapping[str, str | None] | None = None,
    *,
    port: int | None = None,
) -> ControlPlane:
    """Start a control plane on a migrated database, with settings beside the usual ones."""
    return await ControlPlane.start(
        folder,
        owner_url=database.superuser_url,
        url=database.url(LOGIN_ROLE, LOGIN_PASSWORD),
        keys=keys,
        environment=settings,
        port=port,
    )
