"""Fixtures of every test: uvloop as in production, and the real parts of `deploy.dev`.

A fixture that starts a process lives for the session, and gives each test something of its own: a
database, a repository. Two pytest processes share nothing here.
"""

import gc
import os
import ssl
import uuid
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping

import aiohttp
import pytest
import uvloop
from hypothesis import HealthCheck, settings

from deploy.dev.device_ca import CertificateAuthority, CertificateFiles
from deploy.dev.image import Image, busybox_image
from deploy.dev.postgres import Postgres
from deploy.dev.registry import Htpasswd, Registry
from deploy.dev.token_server import TokenServer
from shared.importing import without_collecting
from tests.support.database import Database
from tests.support.facade_database import DatabaseTemplate, FacadeDatabase
from tests.support.run_order import place
from tests.support.surroundings import (
    ONE_AUTHORITY,
    leave_out,
    raise_descriptor_limit,
    use_executable_folder,
)

leave_out(os.environ)
use_executable_folder(os.environ)
raise_descriptor_limit()

# A busy machine is slow; no example is to blame for that.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ROBOT = "robot"
ROBOT_PASSWORD = "robot-canary-password"


def pytest_asyncio_loop_factories(
    config: pytest.Config,  # noqa: ARG001 the hook's own signature
    item: pytest.Item,  # noqa: ARG001 the hook's own signature
) -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Tests run on the loop that the processes run on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector away from the collected tests: they stay to the end."""
    with without_collecting():
        found = yield
    gc.freeze()
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long; within a folder the order stays."""
    items.sort(key=lambda item: place(item.nodeid))


@pytest.fixture(scope="session", autouse=True)
def _one_authority() -> Iterator[None]:
    """Have no test read the machine's authorities."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ONE_AUTHORITY.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL server. A test that stops or freezes one starts its own."""
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """An empty database, dropped after the test with every connection to it."""
    name = f"test_{uuid.uuid4().hex}"
    postgres.create_database(name)
    yield Database(postgres, name)
    postgres.sql(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def database_template(postgres: Postgres) -> DatabaseTemplate:
    """What the databases of facades are copied from."""
    return DatabaseTemplate.make(postgres)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server that a module's tests may stop, kill and freeze."""
    with Postgres(tmp_path_factory.mktemp("mortal")) as server:
        yield server


@pytest.fixture(scope="module")
def mortal_template(mortal: Postgres) -> DatabaseTemplate:
    """What the databases on it are copied from."""
    return DatabaseTemplate.make(mortal)


@pytest.fixture
def mortal_database(
    mortal: Postgres, mortal_template: DatabaseTemplate
) -> Iterator[FacadeDatabase]:
    """A database on it; the server is up before the test and again when it ends."""
    if not mortal.child.running:
        mortal.start()
    yield mortal_template.copy()
    if mortal.child.running:
        mortal.resume()
    else:
        mortal.start()


@pytest.fixture(scope="session")
def device_ca() -> CertificateAuthority:
    """Whom the facade believes about devices."""
    return CertificateAuthority.create("device CA")


@pytest.fixture(scope="session")
def other_ca() -> CertificateAuthority:
    """Whom it does not believe, under the same name: only the signature tells them apart."""
    return CertificateAuthority.create("device CA")


@pytest.fixture(scope="session")
def server_ca() -> CertificateAuthority:
    """Whom devices believe about facades, and facades about registries that name it."""
    return CertificateAuthority.create("server CA")


@pytest.fixture(scope="session")
def server_certificate(
    server_ca: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory
) -> CertificateFiles:
    """A server on this machine."""
    return server_ca.issue_server().write(tmp_path_factory.mktemp("certificates"), "server")


@pytest.fixture(scope="session")
def server_tls(server_certificate: CertificateFiles) -> ssl.SSLContext:
    """The server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_certificate.certificate, server_certificate.key)
    return context


@pytest.fixture(scope="session")
def client_tls(server_ca: CertificateAuthority) -> ssl.SSLContext:
    """The client's side, without a certificate of its own, as strict as it gets."""
    context = ssl.create_default_context(cadata=server_ca.pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry on plain HTTP that asks for nothing."""
    with Registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture(scope="session")
def htpasswd_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry on plain HTTP with Basic authentication, for the user ROBOT."""
    authentication = Htpasswd({ROBOT: ROBOT_PASSWORD})
    folder = tmp_path_factory.mktemp("htpasswd-registry")
    with Registry(folder, authentication=authentication) as started:
        yield started


@pytest.fixture
async def token_server(server_tls: ssl.SSLContext) -> AsyncIterator[TokenServer]:
    """A token server over TLS, for the user ROBOT."""
    async with TokenServer({ROBOT: ROBOT_PASSWORD}, tls=server_tls) as server:
        yield server


@pytest.fixture
def token_registry(
    token_server: TokenServer,
    server_certificate: CertificateFiles,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Registry]:
    """A registry over TLS that takes the tokens of `token_server`."""
    folder = tmp_path_factory.mktemp("token-registry")
    authentication = token_server.authentication
    with Registry(folder, authentication=authentication, tls=server_certificate) as started:
        yield started


@pytest.fixture(scope="session")
def robot_login() -> dict[str, str]:
    """The headers with which ROBOT pushes."""
    return {"Authorization": aiohttp.encode_basic_auth(ROBOT, ROBOT_PASSWORD)}


@pytest.fixture(scope="session")
def image() -> Image:
    """A small real image."""
    return busybox_image()


@pytest.fixture
def repository() -> str:
    """A repository name that no other test uses."""
    return f"tests/{uuid.uuid4().hex}"
