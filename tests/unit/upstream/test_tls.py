"""TLS to registries: whom we believe, and what is said when we do not."""

import asyncio
import datetime as dt
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from deploy.dev.device_ca import SERVER_AUTH, CertificateAuthority, IssuedCertificate
from shared.registry_host import RegistryHost
from shared.upstream.check import CheckOutcome, check_login
from shared.upstream.errors import Step, TlsError, UpstreamTimeoutError
from shared.upstream.target import UpstreamTarget
from shared.upstream.tls import client_tls, client_tls_of
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
        assert check.outcome is CheckOutcome.FAILED
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
        assert check.outcome is CheckOutcome.FAILED
        assert check.problem is not None
        assert "ca_certificate (--ca-certificate FILE)" in check.problem.text
        assert registry.connections_made == 0


AGO = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)
ROOT = CertificateAuthority.create("corporate root")
LINE = ROOT.make_intermediate("registries' CA")
SERVER = LINE.issue_server(dns=("localhost",), ips=())
NEIGHBOUR = LINE.issue_server(dns=("localhost",), ips=())
LEAF = SERVER.certificate.public_bytes(Encoding.PEM)


def served_with(issued: IssuedCertificate, chain: bytes, folder: Path) -> ssl.SSLContext:
    """Return a server's side that sends this chain."""
    files = issued.write(folder, "server")
    files.certificate.write_bytes(chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


BELIEVED: dict[str, bytes] = {
    "the intermediate alone": LINE.pem,
    "the server's own": LEAF,
    "root and intermediate": ROOT.pem + LINE.pem,
    "an intermediate beside another CA": CertificateAuthority.create("other").pem + LINE.pem,
    "the intermediate, cross-signed": LINE.cross_signed_by(CertificateAuthority.create("o")).pem,
    "the intermediate under a comment": "# Größe\n".encode() + LINE.pem,
}


@pytest.mark.parametrize("case", BELIEVED)
async def test_what_a_connection_trusts_is_an_anchor_of_any_height(
    connect: Connect, tmp_path: Path, case: str
) -> None:
    """Whatever chain the registry sends: its own alone, the intermediate too, the root too."""
    trusted = BELIEVED[case].decode()
    for chain in (LEAF, SERVER.chain_pem, SERVER.chain_pem + ROOT.pem):
        tls = served_with(SERVER, chain, tmp_path)
        async with RegistrySimulator(tls=tls, name="localhost") as registry:
            client = await connect(target(registry, trusted))
            assert await read(client, registry.blob(b"content")) == b"content"
            check = await check_login(target(registry, trusted), None)
            assert check.outcome is CheckOutcome.PASSED


EXPIRED_LINE = LINE.cross_signed_by(ROOT, not_after=AGO)
EXPIRED = LINE.issue(dns=["localhost"], usages=(), not_after=AGO)
NAMED_OTHERWISE = LINE.issue_server(dns=("other.example",), ips=())
NOT_BELIEVED: dict[str, tuple[IssuedCertificate, bytes, str]] = {
    "a neighbour of the trusted server": (NEIGHBOUR, LEAF, "unable to get local issuer"),
    "another intermediate of the root": (
        ROOT.make_intermediate("sibling").issue_server(),
        LINE.pem,
        "unable to get local issuer",
    ),
    "the trusted server's root": (ROOT.issue_server(), LINE.pem, "unable to get local issuer"),
    "an expired intermediate": (SERVER, EXPIRED_LINE.pem, "expired"),
    "an expired server that is trusted itself": (
        EXPIRED,
        EXPIRED.certificate.public_bytes(Encoding.PEM),
        "expired",
    ),
    "a trusted server of another name": (
        NAMED_OTHERWISE,
        NAMED_OTHERWISE.certificate.public_bytes(Encoding.PEM),
        "Hostname mismatch",
    ),
}


@pytest.mark.parametrize("case", NOT_BELIEVED)
async def test_trust_in_one_certificate_is_trust_in_no_other(
    connect: Connect, tmp_path: Path, case: str
) -> None:
    """Nor beyond its time, nor for another name."""
    issued, trusted, words = NOT_BELIEVED[case]
    tls = served_with(issued, issued.chain_pem, tmp_path)
    async with RegistrySimulator(tls=tls, name="localhost") as registry:
        client = await connect(target(registry, trusted.decode()), ROBOT)
        with pytest.raises(TlsError, match=words):
            await read(client, registry.blob(b"content"))
        assert registry.requests == []


def old_ca() -> tuple[CertificateAuthority, Callable[[], IssuedCertificate]]:
    """Make a CA as companies have had it for years: without key identifiers and key usage."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA of old")])

    def certificate(
        subject: str, subject_key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            issuer_name=name,
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]),
            public_key=subject_key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=AGO,
            not_valid_after=AGO + dt.timedelta(days=365),
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(key, hashes.SHA256())

    def issue() -> IssuedCertificate:
        own = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        issued = certificate("localhost", own, names)
        return IssuedCertificate(issued, own, issued.public_bytes(Encoding.PEM))

    constraints = x509.BasicConstraints(ca=True, path_length=None)
    return CertificateAuthority(certificate("CA of old", key, constraints), key), issue


async def test_an_old_ca_is_believed_on_every_python(connect: Connect, tmp_path: Path) -> None:
    """Python 3.13 would refuse it: it has no key identifiers."""
    authority, issue = old_ca()
    issued = issue()
    tls = served_with(issued, issued.chain_pem, tmp_path)
    async with RegistrySimulator(tls=tls, name="localhost") as registry:
        client = await connect(target(registry, authority.pem.decode()))
        assert await read(client, registry.blob(b"content")) == b"content"


def test_what_is_verified_does_not_depend_on_the_python() -> None:
    """The flags are ours, whatever the defaults are; names and certificates are always required."""
    expected = ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
    for context in (
        client_tls(),
        client_tls([ROOT.certificate]),
        client_tls_of([ROOT.certificate]),
    ):
        assert context.verify_flags == expected
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert client_tls().cert_store_stats() == ssl.create_default_context().cert_store_stats()
    assert client_tls_of([LINE.certificate]).cert_store_stats()["x509"] == 1
