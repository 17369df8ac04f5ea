"""Through an outbound proxy: what it is told, what it is never asked, whom we believe behind it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from attrs import evolve
from typing_extensions import override

from deploy.dev.device_ca import CertificateAuthority
from shared.registry_host import RegistryHost
from shared.secret import Secret
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.check import CheckOutcome, check_login
from shared.upstream.client import RegistryClient
from shared.upstream.errors import (
    ConnectError,
    EgressRefusedError,
    Step,
    TlsError,
    UpstreamTimeoutError,
)
from shared.upstream.no_proxy import NoProxy
from shared.upstream.proxy import OutboundProxy
from shared.upstream.resolver import AddressInfo, Lookup
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import Timeouts, UpstreamTransport
from shared.upstream.tunnel import TunnelConnector
from tests.support.eventually import PATIENCE_SECONDS
from tests.support.simulators.behaviour import RedirectsTo
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.proxy import ProxySimulator
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.unit.upstream.conftest import PASSWORD, ROBOT, target_of
from tests.unit.upstream.reading import UPSTREAM_TEXT, everything_said, read

CANARY = "canary-proxy-password"
QUICK = Timeouts(connect_seconds=0.3, first_byte_seconds=2, stall_seconds=2)

ConnectThrough = Callable[..., Awaitable[RegistryClient]]


@pytest.fixture
async def proxy() -> AsyncIterator[ProxySimulator]:
    """A proxy that asks for nothing."""
    async with ProxySimulator() as simulator:
        yield simulator


@pytest.fixture
async def connect_through() -> AsyncIterator[ConnectThrough]:
    """Make clients behind a proxy, and close them after the test."""
    clients: list[RegistryClient] = []

    async def connect(
        proxy: OutboundProxy,
        target: UpstreamTarget,
        credential: BasicCredential | None = None,
        timeouts: Timeouts | None = None,
    ) -> RegistryClient:
        transport = await UpstreamTransport.open(target, proxy=proxy, timeouts=timeouts)
        clients.append(RegistryClient(transport, OneShotAuthorizer(transport, credential)))
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    """A customer's own CA."""
    return CertificateAuthority.create("private CA")


def server_side(
    authority: CertificateAuthority, folder: Path, names: tuple[str, ...]
) -> ssl.SSLContext:
    """Return a server's TLS for these names, and for no address."""
    files = authority.issue_server(dns=names, ips=()).write(folder, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


def at(proxy: ProxySimulator) -> OutboundProxy:
    """Return the simulator as the operator names it."""
    return OutboundProxy.parse(proxy.url)


async def test_a_plain_registry_is_reached_through_a_tunnel(
    proxy: ProxySimulator, connect_through: ConnectThrough
) -> None:
    """The proxy sees CONNECT and no request, the registry nothing of the proxy."""
    async with RegistrySimulator(login=BasicLogin(ROBOT.username, PASSWORD)) as registry:
        digest = registry.blob(b"content" * 100_000)
        client = await connect_through(at(proxy), target_of(registry), ROBOT)
        assert await read(client, digest) == b"content" * 100_000
        assert await read(client, digest) == b"content" * 100_000
    assert {request.method for request in proxy.requests} == {"CONNECT"}
    assert set(proxy.targets) == {f"127.0.0.1:{registry.port}"}
    assert all(request.header("Authorization") is None for request in proxy.requests)
    names = {name.lower() for request in registry.requests for name, _ in request.headers}
    assert not [name for name in names if name.startswith("proxy-")]
    assert registry.requests[0].header("Host") == registry.authority


async def test_a_tunnel_is_used_again(
    proxy: ProxySimulator, connect_through: ConnectThrough
) -> None:
    """As a direct connection is."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(b"content")
        client = await connect_through(at(proxy), target_of(registry))
        for _ in range(3):
            assert await read(client, digest) == b"content"
    assert len(proxy.requests) == 1


async def test_tls_is_with_the_hosts_name_and_connect_with_its_address(
    proxy: ProxySimulator,
    connect_through: ConnectThrough,
    authority: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """The certificate is for the name alone; what was resolved here is what is connected to."""
    tls = server_side(authority, tmp_path, ("localhost",))
    async with RegistrySimulator(tls=tls, name="localhost") as registry:
        digest = registry.blob(b"content")
        target = evolve(
            target_of(registry, plain_http=False), ca_certificate=authority.pem.decode()
        )
        client = await connect_through(at(proxy), target)
        assert await read(client, digest) == b"content"
    assert proxy.targets[-1] == f"127.0.0.1:{registry.port}"
    assert not [target for target in proxy.targets if "localhost" in target]


async def test_behind_a_proxy_an_intermediate_is_an_anchor_too(
    proxy: ProxySimulator,
    connect_through: ConnectThrough,
    authority: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """It is the same TLS inside the tunnel."""
    intermediate = authority.make_intermediate()
    tls = server_side(intermediate, tmp_path, ("localhost",))
    async with RegistrySimulator(tls=tls, name="localhost") as registry:
        digest = registry.blob(b"content")
        target = evolve(
            target_of(registry, plain_http=False), ca_certificate=intermediate.pem.decode()
        )
        client = await connect_through(at(proxy), target)
        assert await read(client, digest) == b"content"


@pytest.mark.parametrize("is_known", [False, True])
async def test_a_proxy_vouches_for_nobody(
    proxy: ProxySimulator,
    connect_through: ConnectThrough,
    authority: CertificateAuthority,
    tmp_path: Path,
    is_known: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A certificate of another name, or of an unknown CA, is refused behind it as well."""
    tls = server_side(authority, tmp_path, ("other.example",) if is_known else ("localhost",))
    async with RegistrySimulator(tls=tls, name="localhost") as registry:
        digest = registry.blob(b"content")
        ca_certificate = authority.pem.decode() if is_known else None
        target = evolve(target_of(registry, plain_http=False), ca_certificate=ca_certificate)
        client = await connect_through(at(proxy), target, ROBOT)
        with pytest.raises(TlsError, match="not trusted"):
            await read(client, digest)
        assert registry.requests == []


async def test_what_is_no_tls_behind_the_proxy_is_a_tls_error(
    proxy: ProxySimulator, connect_through: ConnectThrough
) -> None:
    """There is no falling back."""
    async with RegistrySimulator(name="localhost") as registry:
        digest = registry.blob(b"content")
        client = await connect_through(at(proxy), target_of(registry, plain_http=False), ROBOT)
        with pytest.raises(TlsError):
            await read(client, digest)
        assert registry.requests == []


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000", "169.254.169.254"])
async def test_a_refused_address_is_never_asked_of_the_proxy(
    proxy: ProxySimulator, connect_through: ConnectThrough, host: str
) -> None:
    """The proxy could reach it for us."""
    target = UpstreamTarget(RegistryHost.parse(host), plain_http=True)
    client = await connect_through(at(proxy), target, ROBOT)
    with pytest.raises(EgressRefusedError):
        await client.ping()
    assert proxy.connections_made == 0


async def test_a_redirect_to_a_refused_address_is_never_asked_of_the_proxy(
    proxy: ProxySimulator, connect_through: ConnectThrough
) -> None:
    """The registry's word opens no tunnel."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(b"content", get=RedirectsTo("http://169.254.169.254/latest"))
        client = await connect_through(at(proxy), target_of(registry), ROBOT)
        with pytest.raises(EgressRefusedError):
            await read(client, digest)
    assert proxy.targets == [f"127.0.0.1:{registry.port}"]


async def test_a_redirect_is_followed_through_a_tunnel_of_its_own(
    proxy: ProxySimulator, connect_through: ConnectThrough
) -> None:
    """The store is shown no credential, the proxy both addresses."""
    async with (
        StoreSimulator() as store,
        RegistrySimulator(login=BasicLogin(ROBOT.username, PASSWORD)) as registry,
    ):
        digest = registry.blob(b"content", get=RedirectsTo(store.put(b"content")))
        client = await connect_through(at(proxy), target_of(registry), ROBOT)
        assert await read(client, digest) == b"content"
        assert proxy.targets[-1] == f"127.0.0.1:{store.port}"


async def test_the_proxy_alone_is_spoken_to(
    proxy: ProxySimulator, connect_through: ConnectThrough
) -> None:
    """A registry that cannot be reached from here is reached by the proxy."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(b"content")
        proxy.leads_to["203.0.113.5:5000"] = ("127.0.0.1", registry.port)
        target = UpstreamTarget(
            RegistryHost.parse("203.0.113.5:5000"),
            plain_http=True,
            allowed_networks=(ip_network("203.0.113.0/24"),),
        )
        client = await connect_through(at(proxy), target)
        assert await read(client, digest) == b"content"
        assert registry.requests[0].header("Host") == "203.0.113.5:5000"


async def test_a_proxy_that_resolves_is_told_the_name(
    proxy: ProxySimulator, connect_through: ConnectThrough
) -> None:
    """Given up by its operator; without that, a name that does not resolve here goes nowhere."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(b"content")
        proxy.leads_to["registry.invalid:5000"] = ("127.0.0.1", registry.port)
        target = UpstreamTarget(RegistryHost.parse("registry.invalid:5000"), plain_http=True)
        resolving = evolve(at(proxy), resolves_names=True)
        client = await connect_through(resolving, target)
        assert await read(client, digest) == b"content"
        assert proxy.targets == ["registry.invalid:5000"]
        check = await check_login(target, None, proxy=at(proxy))
        assert check.problem is not None
        assert check.problem.code == "not_resolved"
        assert len(proxy.requests) == 1


async def test_a_proxy_that_resolves_is_not_told_an_address_that_is_refused(
    proxy: ProxySimulator, connect_through: ConnectThrough
) -> None:
    """What is written as an address needs no resolving."""
    target = UpstreamTarget(RegistryHost.parse("10.0.0.7"), plain_http=True)
    client = await connect_through(evolve(at(proxy), resolves_names=True), target)
    with pytest.raises(EgressRefusedError):
        await client.ping()
    assert proxy.connections_made == 0


async def test_a_proxy_is_shown_its_credential_and_nobody_else_is(
    connect_through: ConnectThrough,
) -> None:
    """The registry behind it knows nothing of it."""
    async with (
        ProxySimulator(username="user", password=CANARY) as proxy,
        RegistrySimulator() as registry,
    ):
        digest = registry.blob(b"content")
        known = evolve(at(proxy), credential=BasicCredential("user", Secret(CANARY)))
        client = await connect_through(known, target_of(registry))
        assert await read(client, digest) == b"content"
        assert CANARY not in repr(registry.requests)


async def test_a_refused_credential_is_told_without_it(connect_through: ConnectThrough) -> None:
    """Tried once; neither it nor the proxy's own words are part of the error."""
    async with (
        ProxySimulator(username="user", password="another") as proxy,
        RegistrySimulator() as registry,
    ):
        digest = registry.blob(b"content")
        known = evolve(at(proxy), credential=BasicCredential("user", Secret(CANARY)))
        client = await connect_through(known, target_of(registry))
        with pytest.raises(ConnectError, match="refuses our credential") as refusal:
            await read(client, digest)
        said = everything_said(refusal.value)
        assert CANARY not in said
        assert UPSTREAM_TEXT not in said
        assert len(proxy.requests) == 1
        assert registry.connections_made == 0


@pytest.mark.parametrize("status", [302, 403, 404, 500, 502, 504])
async def test_a_proxy_that_does_not_connect_is_a_failed_connection(
    proxy: ProxySimulator, connect_through: ConnectThrough, status: int
) -> None:
    """The status is told, for the proxy's own log has the reason."""
    async with RegistrySimulator() as registry:
        proxy.statuses[f"127.0.0.1:{registry.port}"] = status
        client = await connect_through(at(proxy), target_of(registry))
        with pytest.raises(ConnectError, match=str(status)) as refusal:
            await client.ping()
        assert refusal.value.step is Step.CONNECT
        check = await check_login(target_of(registry), None, proxy=at(proxy))
        assert check.outcome is CheckOutcome.SKIPPED


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_what_is_no_proxy_is_a_failed_connection(
    connect_through: ConnectThrough, answer: bytes
) -> None:
    """Bytes that come before we spoke are nobody's answer."""
    async with ProxySimulator(raw_answer=answer) as proxy, RegistrySimulator() as registry:
        client = await connect_through(at(proxy), target_of(registry))
        with pytest.raises(ConnectError):
            await client.ping()


async def test_a_proxy_that_is_away_is_a_failed_connection(connect_through: ConnectThrough) -> None:
    """The registry is not spoken to without it."""
    async with RegistrySimulator() as registry:
        async with ProxySimulator() as gone:
            nowhere = at(gone)
        client = await connect_through(nowhere, target_of(registry))
        with pytest.raises(ConnectError, match="proxy"):
            await client.ping()
        unknown = await connect_through(OutboundProxy("proxy.invalid", 3128), target_of(registry))
        with pytest.raises(ConnectError, match="proxy's name"):
            await unknown.ping()
        assert registry.connections_made == 0


async def test_a_proxy_that_says_nothing_is_given_up(connect_through: ConnectThrough) -> None:
    """Within the time for connecting."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = OutboundProxy("127.0.0.1", silent.getsockname()[1])
        async with RegistrySimulator() as registry:
            client = await connect_through(proxy, target_of(registry), None, QUICK)
            with pytest.raises(UpstreamTimeoutError) as refusal:
                await client.ping()
            assert refusal.value.step is Step.CONNECT


async def test_whoever_leaves_while_the_proxy_thinks_leaves_nothing_behind(
    connect_through: ConnectThrough,
) -> None:
    """The connection to the proxy is closed."""
    seen = asyncio.Event()
    left = asyncio.Event()

    async def think(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        seen.set()
        await reader.read()
        writer.close()
        left.set()

    server = await asyncio.start_server(think, "127.0.0.1", 0)
    async with server, RegistrySimulator() as registry:
        proxy = OutboundProxy("127.0.0.1", server.sockets[0].getsockname()[1])
        client = await connect_through(proxy, target_of(registry))
        asking = asyncio.create_task(client.ping())
        await seen.wait()
        asking.cancel()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await left.wait()
        await asyncio.wait([asking])
        assert asking.cancelled()


class TwoAddresses(AbstractResolver):
    """Gives an address where nobody is, and this machine's."""

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in ("2001:db8::5", "127.0.0.1")
        ]

    @override
    async def close(self) -> None:
        """Hold nothing."""


async def test_the_next_address_is_tried_where_the_proxy_does_not_reach_the_first(
    proxy: ProxySimulator,
) -> None:
    """As without a proxy."""
    async with RegistrySimulator() as registry:
        proxy.statuses[f"[2001:db8::5]:{registry.port}"] = 503
        connector = TunnelConnector(at(proxy), TwoAddresses())
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"http://registry.example:{registry.port}/v2/") as answer,
        ):
            assert answer.status == 200
        assert proxy.targets == [f"[2001:db8::5]:{registry.port}", f"127.0.0.1:{registry.port}"]


def beside(proxy: ProxySimulator, text: str, *, resolves_names: bool = False) -> OutboundProxy:
    """Return the simulator with a list of what is reached directly."""
    return evolve(at(proxy), no_proxy=NoProxy.parse(text), resolves_names=resolves_names)


def lookup_of(**hosts: str) -> Lookup:
    """Resolve each host to one address, and no other host."""

    def look_up(host: str, port: int, _: socket.AddressFamily) -> list[AddressInfo]:
        address = hosts[host.replace(".", "_")]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    return look_up


@pytest.mark.parametrize(
    "text, resolves_names",
    [
        ("localhost", False),
        ("127.0.0.0/8", False),
        ("127.0.0.1", False),
        ("*", False),
        ("localhost", True),
        (".example,localhost", True),
    ],
)
async def test_an_exception_is_reached_directly(
    proxy: ProxySimulator,
    connect_through: ConnectThrough,
    authority: CertificateAuthority,
    tmp_path: Path,
    text: str,
    resolves_names: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """By name, or by an address that the name leads to; with TLS as ever."""
    tls = server_side(authority, tmp_path, ("localhost",))
    async with RegistrySimulator(tls=tls, name="localhost") as registry:
        digest = registry.blob(b"content")
        target = evolve(
            target_of(registry, plain_http=False), ca_certificate=authority.pem.decode()
        )
        client = await connect_through(beside(proxy, text, resolves_names=resolves_names), target)
        assert await read(client, digest) == b"content"
    assert proxy.connections_made == 0


@pytest.mark.parametrize(
    "text, resolves_names",
    [
        ("other.example", False),
        (".localhost", False),
        ("10.0.0.0/8", False),
        ("localhost:1", False),
        # Its address is the proxy's to find: a network says nothing of it.
        ("127.0.0.0/8", True),
    ],
)
async def test_everything_else_goes_through_the_proxy(
    proxy: ProxySimulator,
    connect_through: ConnectThrough,
    text: str,
    resolves_names: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """An exception is that, and no more."""
    async with RegistrySimulator(name="localhost") as registry:
        digest = registry.blob(b"content")
        client = await connect_through(
            beside(proxy, text, resolves_names=resolves_names), target_of(registry)
        )
        assert await read(client, digest) == b"content"
    assert proxy.connections_made == 1


async def test_an_exception_is_told_apart_for_each_host_and_port(
    proxy: ProxySimulator, connect_through: ConnectThrough
) -> None:
    """Of one pull, the registry directly, and the store that it redirects to through the proxy."""
    async with StoreSimulator() as store, RegistrySimulator() as registry:
        digest = registry.blob(b"content", get=RedirectsTo(store.put(b"content")))
        listed = beside(proxy, f"127.0.0.1:{registry.port}")
        client = await connect_through(listed, target_of(registry))
        assert await read(client, digest) == b"content"
        assert proxy.targets == [f"127.0.0.1:{store.port}"]
        listed = beside(proxy, f"127.0.0.1:{store.port}")
        client = await connect_through(listed, target_of(registry))
        assert await read(client, digest) == b"content"
        assert proxy.targets[1:] == [f"127.0.0.1:{registry.port}"]


@pytest.mark.parametrize("resolves_names", [False, True])
@pytest.mark.parametrize("text", ["*", "registry.example", ".example", "0.0.0.0/0,::/0"])
@pytest.mark.parametrize("host", ["registry.example:{}", "127.0.0.1:{}"])
async def test_an_exception_never_loosens_the_egress_rule(
    proxy: ProxySimulator,
    host: str,
    text: str,
    resolves_names: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A host at an address that may not be spoken to is spoken to on neither way."""
    async with RegistrySimulator() as registry:
        target = UpstreamTarget(RegistryHost.parse(host.format(registry.port)), plain_http=True)
        listed = beside(proxy, text, resolves_names=resolves_names)
        if listed.is_told_name(target.host.name, registry.port):
            return  # its operator gave the rule up, and the list does not take that back
        check = await check_login(
            target, None, proxy=listed, lookup=lookup_of(registry_example="127.0.0.1")
        )
        assert check.problem is not None
        assert check.problem.code == "address_not_allowed"
        assert registry.connections_made == 0
    assert proxy.connections_made == 0


async def test_a_direct_connection_is_to_the_address_that_was_judged(
    proxy: ProxySimulator,
) -> None:
    """The name is resolved once for each connection; another answer a moment later is not asked."""
    answers = ["127.0.0.1", "169.254.169.254"]

    def look_up(_: str, port: int, __: socket.AddressFamily) -> list[AddressInfo]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

    async with RegistrySimulator() as registry:
        target = UpstreamTarget(
            RegistryHost.parse(f"registry.example:{registry.port}"),
            plain_http=True,
            allow_loopback=True,
        )
        listed = beside(proxy, "registry.example")
        check = await check_login(target, None, proxy=listed, lookup=look_up)
        assert check.outcome is CheckOutcome.PASSED
        assert answers == ["169.254.169.254"]
    assert proxy.connections_made == 0


async def test_an_exception_that_nobody_answers_at_is_a_failed_connection(
    proxy: ProxySimulator, connect_through: ConnectThrough
) -> None:
    """The proxy is not tried in its place: it is an exception because the proxy may not."""
    async with RegistrySimulator() as registry:
        target = target_of(registry)
    client = await connect_through(beside(proxy, "127.0.0.0/8"), target)
    with pytest.raises(ConnectError, match="does not accept a connection") as refusal:
        await client.ping()
    assert refusal.value.step is Step.CONNECT
    assert proxy.connections_made == 0


async def test_addresses_inside_a_network_are_tried_before_the_proxy(proxy: ProxySimulator) -> None:
    """Of a name with both kinds; the proxy reaches the others."""
    async with RegistrySimulator() as registry:
        connector = TunnelConnector(beside(proxy, "127.0.0.0/8"), TwoAddresses())
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"http://registry.example:{registry.port}/v2/") as answer,
        ):
            assert answer.status == 200
    assert proxy.connections_made == 0


async def test_the_environments_proxies_are_ignored(
    proxy: ProxySimulator, connect_through: ConnectThrough, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a proxy of ours and without; somebody else's variable does not see our requests."""
    async with ProxySimulator() as foreign, RegistrySimulator() as registry:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, foreign.url)
            monkeypatch.setenv(name.lower(), foreign.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert (await check_login(target_of(registry), None)).outcome is CheckOutcome.PASSED
        assert proxy.connections_made == 0
        client = await connect_through(at(proxy), target_of(registry))
        await client.ping()
        assert proxy.connections_made == 1
        monkeypatch.delenv("NO_PROXY")
        assert (await check_login(target_of(registry), None)).outcome is CheckOutcome.PASSED
        assert foreign.connections_made == 0
