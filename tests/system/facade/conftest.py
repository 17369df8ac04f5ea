"""Real facades on a real Postgres.

`facade_database`, `writer` and `facade` are shared by a module: its tests keep apart by connecting
hosts of their own (`upstream` listens on a new port for each test). What stops, starves or
reconfigures a facade takes a new one from `start_facade`, on a database from `new_database`.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest
from attrs import frozen

from deploy.dev.device_ca import IssuedCertificate
from tests.support.facade_database import DatabaseTemplate, FacadeDatabase
from tests.support.facade_process import READY_SECONDS, Device, Facade, FacadeFiles
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, pull_path
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.tampering import Scene

# A poll in the middle of a test would hide that NOTIFY does not work.
NOTIFY_ALONE = {"FACADE_POLL_INTERVAL": "1h"}


@frozen
class Served:
    """A blob behind an approved connection that allows everything, and who may pull it."""

    device: Device
    upstream: RegistrySimulator
    digest: str

    @property
    def path(self) -> str:
        """Where it is."""
        return pull_path(self.upstream, self.digest)

    def fill(self, template: bytes) -> bytes:
        """Return a target with the connected host and the digest in it."""
        return template.replace(b"{host}", self.upstream.host.path_form.encode()).replace(
            b"{digest}", self.digest.encode()
        )


class StartFacade(Protocol):
    """Starts facades that end with the test."""

    def __call__(
        self,
        writer: StatementWriter,
        database_url: str,
        settings: Mapping[str, str] | None = None,
        *,
        wait: bool = True,
        seconds: float = READY_SECONDS,
    ) -> Facade:
        """Start a facade that trusts the writer; it polls once an hour unless told otherwise."""


@pytest.fixture(scope="module")
def facade_database(database_template: DatabaseTemplate) -> FacadeDatabase:
    """The module's database."""
    return database_template.copy()


@pytest.fixture
def new_database(database_template: DatabaseTemplate) -> Callable[[], FacadeDatabase]:
    """Give a test a database of its own, as often as it asks."""
    return database_template.copy


@pytest.fixture
def own_database(new_database: Callable[[], FacadeDatabase]) -> FacadeDatabase:
    """A test's own database."""
    return new_database()


@pytest.fixture
def own_writer(own_database: FacadeDatabase) -> StatementWriter:
    """The control plane's pen, for the test's own database."""
    return StatementWriter(own_database.owner_url)


@pytest.fixture(scope="module")
def writer(facade_database: FacadeDatabase) -> StatementWriter:
    """The control plane's pen, for the module's database."""
    return StatementWriter(facade_database.owner_url)


@pytest.fixture(scope="module")
def facade_settings() -> Mapping[str, str]:
    """What the module's facade is configured with besides; a module may say more."""
    return {}


@pytest.fixture(scope="module")
def facade_prefix() -> tuple[str, ...]:
    """What the module's facade is started by; a module may say more."""
    return ()


@pytest.fixture(scope="module")
def facade(
    facade_database: FacadeDatabase,
    writer: StatementWriter,
    facade_settings: Mapping[str, str],
    facade_prefix: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Facade]:
    """The module's facade."""
    files = _files(writer, tmp_path_factory.mktemp("facade"))
    settings = {**NOTIFY_ALONE, **facade_settings}
    running = Facade.start(files, facade_database.facade_url, settings, prefix=facade_prefix)
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
        seconds: float = READY_SECONDS,
    ) -> Facade:
        files = _files(writer, tmp_path / f"facade-{len(started)}")
        settings = {**NOTIFY_ALONE, **(settings or {})}
        started.append(Facade.start(files, database_url, settings, wait=wait, seconds=seconds))
        return started[-1]

    yield start
    for running in started:
        running.child.kill()


@pytest.fixture
async def upstream() -> AsyncIterator[RegistrySimulator]:
    """A registry that wants the canary token and records every request."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN)) as registry:
        yield registry


@pytest.fixture(scope="module")
def issued(facade: Facade) -> IssuedCertificate:
    """One device for the whole module."""
    return facade.files.device_ca.issue_device()


@pytest.fixture
async def served(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, issued: IssuedCertificate
) -> Served:
    """Everything is allowed, so that what is refused is refused for the request."""
    digest = upstream.blob(b"content")
    await connect(facade, writer, upstream)
    return Served(facade.device(issued), upstream, digest)


@pytest.fixture
async def bystander() -> AsyncIterator[RegistrySimulator]:
    """Another registry, which goes on being served whatever happens to the first."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN)) as registry:
        yield registry


@pytest.fixture
async def scene(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    bystander: RegistrySimulator,
) -> Scene:
    """A served connection, about to be tampered with."""
    return await Scene.make(facade, writer, upstream, bystander)


def _files(writer: StatementWriter, folder: Path) -> FacadeFiles:
    return FacadeFiles.write(
        folder,
        statement_public_pem=writer.statement_public_pem,
        sealing_private_pem=writer.sealing_private_pem,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module's cache folder."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
async def device(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, issued: IssuedCertificate
) -> Device:
    """A device that may pull everything of `upstream`."""
    await connect(facade, writer, upstream)
    return facade.device(issued)
