"""Real facades on a real Postgres.

`facade_database`, `writer` and `facade` are shared by a module: its tests keep apart by connecting
hosts of their own (`upstream` listens on a new port for each test). What stops, starves or
reconfigures a facade takes a new one from `start_facade`, on a database from `new_database`.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from deploy.dev.postgres import Postgres
from tests.support.facade_database import DatabaseTemplate, FacadeDatabase
from tests.support.facade_process import Facade, FacadeFiles
from tests.support.facade_states import CANARY_TOKEN, USERNAME
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

# A poll in the middle of a test would hide that NOTIFY does not work.
NOTIFY_ALONE = {"FACADE_POLL_INTERVAL": "1h"}


class StartFacade(Protocol):
    """Starts facades that end with the test."""

    def __call__(
        self,
        writer: StatementWriter,
        database_url: str,
        settings: Mapping[str, str] | None = None,
        *,
        wait: bool = True,
    ) -> Facade:
        """Start a facade that trusts the writer; it polls once an hour unless told otherwise."""


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> DatabaseTemplate:
    """What every database of these tests is copied from."""
    return DatabaseTemplate.make(postgres)


@pytest.fixture(scope="module")
def facade_database(template: DatabaseTemplate) -> FacadeDatabase:
    """The module's database."""
    return template.copy()


@pytest.fixture
def new_database(template: DatabaseTemplate) -> Callable[[], FacadeDatabase]:
    """Give a test a database of its own, as often as it asks."""
    return template.copy


@pytest.fixture(scope="module")
def writer(facade_database: FacadeDatabase) -> StatementWriter:
    """The control plane's pen, for the module's database."""
    return StatementWriter(facade_database.owner_url)


@pytest.fixture(scope="module")
def facade(
    facade_database: FacadeDatabase,
    writer: StatementWriter,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Facade]:
    """The module's facade."""
    files = _files(writer, tmp_path_factory.mktemp("facade"))
    running = Facade.start(files, facade_database.facade_url, NOTIFY_ALONE)
    yield running
    running.child.kill()


@pytest.fixture
def start_facade(tmp_path: Path) -> Iterator[StartFacade]:
    """Start facades of a test's own, each in a new folder."""
    started: list[Facade] = []

    def start(
        writer: StatementWriter,
        database_url: str,
        settings: Mapping[str, str] | None = None,
        *,
        wait: bool = True,
    ) -> Facade:
        files = _files(writer, tmp_path / f"facade-{len(started)}")
        settings = {**NOTIFY_ALONE, **(settings or {})}
        started.append(Facade.start(files, database_url, settings, wait=wait))
        return started[-1]

    yield start
    for running in started:
        running.child.kill()


@pytest.fixture
async def upstream() -> AsyncIterator[RegistrySimulator]:
    """A registry that wants the canary token and records every request."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN)) as registry:
        yield registry


def _files(writer: StatementWriter, folder: Path) -> FacadeFiles:
    return FacadeFiles.write(
        folder,
        statement_public_pem=writer.statement_public_pem,
        sealing_private_pem=writer.sealing_private_pem,
    )
