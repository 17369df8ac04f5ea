"""Names that lead elsewhere the second time: every connection is judged, and goes where judged.

Over real HTTP: a name service of the test answers, the client connects to simulators.
"""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from shared.oci import Digest, Kind
from shared.registry_host import RegistryHost
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.check import CheckOutcome, check_login
from shared.upstream.client import RegistryClient
from shared.upstream.errors import EgressRefusedError, RealmNotAllowedError
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import UpstreamTransport
from tests.support.simulators.behaviour import RawBytes, RedirectsTo
from tests.support.simulators.login import BasicLogin, BearerLogin
from tests.support.simulators.name_service import NameService
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.unit.upstream.conftest import PASSWORD, QUICK, ROBOT
from tests.unit.upstream.reading import APP, read

NAME, STORE = "registry.example.com", "store.example.com"
METADATA = "169.254.169.254"
CONTENT = b"content" * 1000
LONG = b"content" * 1_000_000  # not all of it has come when it is left

OpenClient = Callable[..., Awaitable[RegistryClient]]


@pytest.fixture
def names() -> NameService:
    """What every name leads to."""
    return NameService()


@pytest.fixture
async def open_client(names: NameService) -> AsyncIterator[OpenClient]:
    """Open clients of `registry.example.com`, for which loopback is open."""
    transports: list[UpstreamTransport] = []

    async def open_client(port: int) -> RegistryClient:
        transport = await UpstreamTransport.open(target(port), lookup=names, timeouts=QUICK)
        transports.append(transport)
        return RegistryClient(transport, OneShotAuthorizer(transport, ROBOT))

    yield open_client
    for transport in transports:
        await transport.close()


def target(port: int) -> UpstreamTarget:
    """Return the target of the name."""
    return UpstreamTarget(
        RegistryHost.parse(f"{NAME}:{port}"), plain_http=True, allow_loopback=True
    )


@pytest.mark.parametrize("inside", [METADATA, "10.0.0.1", "::ffff:169.254.170.2", "fd00:ec2::254"])
async def test_a_name_that_turns_inwards_is_refused_at_the_next_connection(
    names: NameService, open_client: OpenClient, inside: str
) -> None:
    """What was right once is judged again, in the same session."""
    async with RegistrySimulator() as registry:
        names.answer(NAME, ["127.0.0.1"], [inside])
        digest = registry.blob(LONG)
        client = await open_client(registry.port)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer:
            assert answer.status == 200  # left early, so that the connection is not kept
        with pytest.raises(EgressRefusedError) as refusal:
            await read(client, digest)
        assert inside not in str(refusal.value)
        assert names.asked == [NAME, NAME]
        assert registry.connections_made == 1


async def test_a_kept_connection_goes_on_to_where_it_was_judged(
    names: NameService, open_client: OpenClient
) -> None:
    """Nothing is resolved between judging and connecting, nor while a connection is kept."""
    async with RegistrySimulator(login=BasicLogin(ROBOT.username, PASSWORD)) as registry:
        names.answer(NAME, ["127.0.0.1"], [METADATA])
        digest = registry.blob(CONTENT)
        client = await open_client(registry.port)
        for _ in range(3):
            assert await read(client, digest) == CONTENT
        assert names.asked == [NAME]


async def test_refused_addresses_among_allowed_ones_are_never_connected_to(
    names: NameService, open_client: OpenClient
) -> None:
    """The first of them would be tried first; here it is another listener."""
    async with (
        RegistrySimulator() as registry,
        RegistrySimulator(address="127.0.0.1") as trap,
    ):
        names.answer(NAME, [("0.0.0.0", trap.port), METADATA, "127.0.0.1", "::"])  # noqa: S104 - to be refused
        digest = registry.blob(CONTENT)
        assert await read(await open_client(registry.port), digest) == CONTENT
        assert trap.connections_made == 0


async def test_a_redirects_name_is_judged_as_well(
    names: NameService, open_client: OpenClient
) -> None:
    """And again for the next pull."""
    async with StoreSimulator() as store, RegistrySimulator() as registry:
        names.answer(NAME, ["127.0.0.1"])
        names.answer(STORE, ["127.0.0.1"], [METADATA])
        path = store.put(LONG).removeprefix(store.origin)
        location = f"http://{STORE}:{store.port}{path}"
        digest = registry.blob(LONG, get=RedirectsTo(location))
        client = await open_client(registry.port)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer:
            assert answer.status == 200
        with pytest.raises(EgressRefusedError):
            await read(client, digest)
        assert len(store.requests) == 1


async def test_a_realms_name_is_judged_as_well(names: NameService, open_client: OpenClient) -> None:
    """The registry's own name, in a challenge, may lead inwards by then; no password goes there."""
    async with RegistrySimulator() as registry:
        names.answer(NAME, ["127.0.0.1"], [METADATA])
        challenge = f'Bearer realm="http://{NAME}:{registry.port}/token"'
        refusal = f"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\n"
        closing = f"{refusal}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        digest = registry.blob(CONTENT, get=RawBytes(closing))
        client = await open_client(registry.port)
        with pytest.raises(EgressRefusedError):
            await read(client, digest)
        assert names.asked == [NAME, NAME]
        assert len(registry.requests) == 1


async def test_a_realm_outside_the_rule_is_not_even_resolved(
    names: NameService, open_client: OpenClient
) -> None:
    """A name server of the realm's owner would learn who asks."""
    login = BearerLogin(ROBOT.username, PASSWORD, realm=f"https://{STORE}/token")
    async with RegistrySimulator(login=login) as registry:
        names.answer(NAME, ["127.0.0.1"])
        digest = registry.blob(CONTENT)
        with pytest.raises(RealmNotAllowedError) as refusal:
            await read(await open_client(registry.port), digest)
        assert refusal.value.realm == f"https://{STORE}/token"
        assert STORE not in names.asked


async def test_a_check_is_held_to_the_same_rule(names: NameService) -> None:
    """The control plane resolves by itself, and is led nowhere either."""
    login = BearerLogin(ROBOT.username, PASSWORD)
    async with RegistrySimulator(login=login) as registry:
        names.answer(NAME, [METADATA, "10.0.0.1"])
        check = await check_login(target(registry.port), ROBOT, lookup=names)
        assert check.problem is not None
        assert (check.outcome, check.problem.code) == (CheckOutcome.SKIPPED, "address_not_allowed")
        assert "169.254" not in repr(check)
        names.answer(NAME, ["127.0.0.1"])
        login.realm = f"http://{NAME}:{registry.port}/token"
        check = await check_login(target(registry.port), ROBOT, lookup=names)
        assert check.outcome is CheckOutcome.PASSED
        closed = UpstreamTarget(RegistryHost.parse(f"{NAME}:{registry.port}"), plain_http=True)
        check = await check_login(closed, ROBOT, lookup=names)
        assert check.outcome is CheckOutcome.SKIPPED
