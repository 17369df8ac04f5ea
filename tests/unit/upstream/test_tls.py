"""TLS to registries: whom we believe, and what is said when we do not."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.dev.device_ca import SERVER_AUTH, CertificateAuthority
from shared.registry_host import RegistryHost
from shared.upstream.check import Outcome, check_login
from shared.upstream.errors import Step, TlsError, UpstreamTimeoutError
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import Timeouts, UpstreamTransport
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.upstream.conftest import ROBOT, Connect
from tests.unit.upstream.reading import read


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    """A customer's own CA."""
    return CertificateAuthority.create("canary private CA")


@pytest.fixture
def tls(authority: CertificateAuthority, tmp_path: Path) -> ssl.SSLContext:
    """A server's side for `localhost`, and not for its address."""
    files = authority.issue_server(dns=("localhost",), ips=()).write(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


def target(registry: RegistrySimulator, ca_certificate: str | None) -> UpstreamTarget:
    """Return a target over TLS."""
    return UpstreamTarget(registry.host, ca_certificate=ca_certificate, allow_loopback=True)


async def test_a_connections_own_ca_is_believed(
    connect: Connect, authority: CertificateAuthority, tls: ssl.SSLContext
) -> None:
    """Registries on premises have one."""
    async with RegistrySimulator(tls=tls, name="localhost") as registry:
        digest = registry.blob(b"content" * 100_000)
        client = await connect(target(registry, authority.pem.decode()))
        assert await read(client, digest) == b"content" * 100_000


async def test_a_connections_own_ca_is_believed_by_no_other_connection(
    connect: Connect, authority: CertificateAuthority, tls: ssl.SSLContext
) -> None:
    """Opened before and after it, and while it is in use."""
    async with RegistrySimulator(tls=tls, name="localhost") as registry:
        digest = registry.blob(b"content")
        before = await connect(target(registry, None))
        trusting = await connect(target(registry, authority.pem.decode()))
        assert await read(trusting, digest) == b"content"
        after = await connect(target(registry, None))
        for other in (before, after):
            with pytest.raises(TlsError):
                await read(other, digest)
        assert await read(trusting, digest) == b"content"
        assert len(registry.requests) == 2


async def test_a_handshake_that_is_not_answered_is_a_timeout(connect: Connect) -> None:
    """Something listens, and says nothing: the step is the connection, not the answer."""
    async with RegistrySimulator() as other:
        server = await asyncio.start_server(_say_nothing, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        silent = UpstreamTarget(RegistryHost.parse(f"127.0.0.1:{port}"), allow_loopback=True)
        client = await connect(silent, timeouts=Timeouts(connect_seconds=0.3))
        with pytest.raises(UpstreamTimeoutError) as timeout:
            await read(client, other.blob(b"content"))
        assert timeout.value.step is Step.CONNECT
        server.close()


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        pass
    writer.close()


async def test_an_unknown_ca_is_not_believed(connect: Connect, tls: ssl.SSLContext) -> None:
    """Nothing is sent; the problem is told without the certificate's own text."""
    async with RegistrySimulator(tls=tls, name="localhost") as registry:
        digest = registry.blob(b"content")
        client = await connect(target(registry, None), ROBOT)
        with pytest.raises(TlsError, match="not trusted") as refusal:
            await read(client, digest)
        assert refusal.value.step is Step.TLS
        assert "canary" not in str(refusal.value)
        check = await check_login(target(registry, None), ROBOT)
        assert check.outcome is Outcome.FAILED
        assert check.problem is not None
        assert check.problem.code == "tls_failed"
        assert registry.requests == []
        assert "ca_certificate (--ca-certificate FILE)" in check.problem.text
        assert "canary" not in check.problem.text


async def test_a_certificate_of_another_name_is_not_believed(
    connect: Connect, authority: CertificateAuthority, tls: ssl.SSLContext
) -> None:
    """The right CA is not enough."""
    async with RegistrySimulator(tls=tls, name="127.0.0.1") as registry:
        digest = registry.blob(b"content")
        client = await connect(target(registry, authority.pem.decode()))
        with pytest.raises(TlsError):
            await read(client, digest)
        check = await check_login(target(registry, authority.pem.decode()), ROBOT)
        assert check.problem is not None
        assert "by a name that its certificate has" in check.problem.text
        assert "ca_certificate" not in check.problem.text


@pytest.mark.parametrize("days", [-1, 1])
async def test_a_certificate_out_of_time_is_told_as_one(
    authority: CertificateAuthority, tmp_path: Path, days: int
) -> None:
    """Expired, or of tomorrow: whoever gave another CA for it would only lose time."""
    at = datetime.now(UTC) + timedelta(days=days)
    files = authority.issue(
        dns=("localhost",),
        usages=(SERVER_AUTH,),
        not_before=at - timedelta(hours=1),
        not_after=at,
    ).write(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    async with RegistrySimulator(tls=context, name="localhost") as registry:
        check = await check_login(target(registry, authority.pem.decode()), ROBOT)
    assert check.problem is not None
    assert "needs another certificate, if the clock here is right" in check.problem.text
    assert "ca_certificate" not in check.problem.text


async def test_plain_http_where_tls_is_expected_is_a_tls_error(connect: Connect) -> None:
    """There is no falling back."""
    async with RegistrySimulator(name="localhost") as registry:
        digest = registry.blob(b"content")
        client = await connect(target(registry, None), ROBOT)
        with pytest.raises(TlsError):
            await read(client, digest)
        check = await check_login(target(registry, None), ROBOT)
        assert registry.requests == []
        assert check.problem is not None
        assert "plain_http (--plain-http)" in check.problem.text


@pytest.mark.parametrize("pem", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
async def test_an_unreadable_ca_is_a_tls_error(pem: str) -> None:
    """Before anything is connected to."""
    async with RegistrySimulator() as registry:
        with pytest.raises(TlsError, match="cannot be read"):
            await UpstreamTransport.open(target(registry, pem))
        check = await check_login(target(registry, pem), ROBOT)
        assert check.outcome is Outcome.FAILED
        assert check.problem is not None
        assert "ca_certificate (--ca-certificate FILE)" in check.problem.text
        assert registry.connections_made == 0
