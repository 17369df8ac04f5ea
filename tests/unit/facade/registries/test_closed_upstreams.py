"""A closed upstream is let go at once: the garbage collector looks at old objects seldom."""

import gc
import weakref
from collections.abc import AsyncIterator

import pytest

from facade.metrics.metrics import FacadeMetrics
from facade.registries.aws.aws_session import AwsSession
from facade.registries.connection_work import ConnectionWork
from facade.registries.providers import Providers
from facade.registries.unsealer import Unsealer
from facade.registries.upstream_connector import UpstreamConnector
from facade.registries.upstreams import Upstreams
from shared.approved_connection import ApprovedConnection, approved_connection
from shared.keys import load_sealing_private_keys
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.credentials.google import GoogleTokenEndpoint
from shared.upstream.errors import UpstreamError
from shared.upstream.transport import TransportResources
from tests.support.eventually import eventually
from tests.support.simulators.login import BasicLogin, BearerLogin, Login
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

APP = RepositoryName.parse("team/app")
USERNAME, TOKEN = "robot", "canary-token"
LOGINS: dict[str, Login | None] = {
    "none": None,
    "basic": BasicLogin(USERNAME, TOKEN),
    "bearer": BearerLogin(USERNAME, TOKEN),
    "refused": BasicLogin(USERNAME, "another"),
}


@pytest.fixture
async def upstreams(writer: StatementWriter) -> AsyncIterator[Upstreams]:
    """Those of a facade, one open at a time."""
    opener = Unsealer(load_sealing_private_keys(writer.sealing_private_pem))
    async with AwsSession.open() as aws, GoogleTokenEndpoint.open("http://127.0.0.1:1/") as google:
        connector = UpstreamConnector(
            Providers(opener, aws, google),
            FacadeMetrics.create(),
            allow_loopback=True,
            resources=TransportResources(),
        )
        upstreams = Upstreams(connector.connect, ConnectionWork(), max_open=1)
        yield upstreams
        await upstreams.close()


@pytest.fixture
def writer() -> StatementWriter:
    """Whoever approves; nothing is written."""
    return StatementWriter("")


async def used(
    upstreams: Upstreams, connection: ApprovedConnection, digest: Digest
) -> weakref.ref[object]:
    """Pull through a connection; return what tells whether its client is still there."""
    async with upstreams.lease(connection) as upstream:
        try:
            async with upstream.fetch(Kind.BLOB, APP, digest) as answer:
                assert [chunk async for chunk in answer.chunks()]
        except UpstreamError:
            pass  # the refused one
        return weakref.ref(upstream._client)  # noqa: SLF001 - nobody else holds all of it


@pytest.mark.parametrize("kind", LOGINS)
async def test_nothing_of_it_is_left(
    kind: str, upstreams: Upstreams, writer: StatementWriter
) -> None:
    """Its session, its login, and what it remembered."""
    async with RegistrySimulator(login=LOGINS[kind]) as registry:
        digest = Digest.parse(registry.blob(b"content"))

        def approved() -> ApprovedConnection:
            return approved_connection(
                writer.approval(str(registry.host), plain_http=True, username=USERNAME, token=TOKEN)
            )

        connection = approved()
        client = await used(upstreams, connection, digest)
        gc.collect()
        gc.disable()
        try:
            upstreams.retire(connection.id, serving=None)
            await eventually(lambda: client() is None)
        finally:
            gc.enable()
