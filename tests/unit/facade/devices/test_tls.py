"""The context of the device address, and what is refused on a finished handshake."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from deploy.dev.device_ca import (
    CLIENT_AUTH,
    SERVER_AUTH,
    CertificateAuthority,
    CertificateFiles,
    IssuedCertificate,
)
from facade.devices.tls import (
    RefusedConnectionError,
    TlsConfigurationError,
    presented_certificate,
    server_context,
)


@pytest.fixture
def server(server_ca: CertificateAuthority, tmp_path: Path) -> CertificateFiles:
    """The facade's own certificate."""
    return server_ca.issue_server().write(tmp_path, "server")


@pytest.fixture
def device_ca_file(device_ca: CertificateAuthority, tmp_path: Path) -> Path:
    """Whom the facade believes about devices."""
    path = tmp_path / "device-ca.pem"
    path.write_bytes(device_ca.pem)
    return path


@pytest.fixture
def context(server: CertificateFiles, device_ca_file: Path) -> ssl.SSLContext:
    """The context of a facade that allows TLS 1.2."""
    return server_context(
        certificate=server.certificate, key=server.key, device_ca=device_ca_file, minimum="1.2"
    )


def shake_hands(
    context: ssl.SSLContext,
    client: ssl.SSLContext,
    session: ssl.SSLSession | None = None,
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Return both ends of a finished handshake, in memory; raise `ssl.SSLError`."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_end = context.wrap_bio(to_server, to_client, server_side=True)
    client_end = client.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
    pending = [client_end, server_end]
    while pending:
        for end in list(pending):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            pending.remove(end)
    return server_end, client_end


def client_context(
    server_ca: CertificateAuthority,
    issued: IssuedCertificate,
    folder: Path,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> ssl.SSLContext:
    """Return a device's context."""
    files = issued.write(folder, f"device-{issued.serial:x}")
    client = ssl.create_default_context(cadata=server_ca.pem.decode())
    client.load_cert_chain(files.certificate, files.key)
    client.maximum_version = version
    return client


def test_the_context_is_as_strict_as_it_is_documented(
    context: ssl.SSLContext, server: CertificateFiles, device_ca_file: Path
) -> None:
    """A certificate is required, and nothing is offered that could be resumed."""
    strict = server_context(
        certificate=server.certificate, key=server.key, device_ca=device_ca_file, minimum="1.3"
    )
    assert strict.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    for made in (strict, context):
        assert made.verify_mode is ssl.CERT_REQUIRED
        assert made.num_tickets == 0
        assert made.options & ssl.OP_NO_TICKET
        assert made.options & ssl.OP_NO_RENEGOTIATION
        assert made.options & ssl.OP_NO_COMPRESSION


def test_a_devices_certificate_is_returned(
    context: ssl.SSLContext,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """The very one that was presented, in either version of TLS."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        issued = device_ca.issue_device()
        client = client_context(server_ca, issued, tmp_path, version)
        server_end, _ = shake_hands(context, client)
        assert presented_certificate(server_end) == issued.certificate


@pytest.mark.parametrize("usages", [(), (SERVER_AUTH,)])
def test_a_certificate_that_is_not_a_clients_is_refused(
    context: ssl.SSLContext,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path: Path,
    usages: tuple[object, ...],
) -> None:
    """OpenSSL refuses the wrong usage itself, and lets the missing one pass."""
    issued = device_ca.issue(uris=["spiffe://a/b"], usages=usages)  # type: ignore[arg-type]  # object identifiers
    client = client_context(server_ca, issued, tmp_path)
    with pytest.raises((RefusedConnectionError, ssl.SSLError)):
        presented_certificate(shake_hands(context, client)[0])


def test_a_resumed_session_is_refused(
    context: ssl.SSLContext,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """TLS 1.2's session ids resume although no ticket is ever given out."""
    client = client_context(server_ca, device_ca.issue_device(), tmp_path, ssl.TLSVersion.TLSv1_2)
    server_end, client_end = shake_hands(context, client)
    presented_certificate(server_end)
    resumed, _ = shake_hands(context, client, client_end.session)
    assert resumed.session_reused
    with pytest.raises(RefusedConnectionError, match="resumed"):
        presented_certificate(resumed)


def test_an_end_without_a_certificate_is_refused(
    server: CertificateFiles, server_ca: CertificateAuthority
) -> None:
    """Should a context ever be made that requires none."""
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    lax.load_cert_chain(server.certificate, server.key)
    client = ssl.create_default_context(cadata=server_ca.pem.decode())
    with pytest.raises(RefusedConnectionError, match="no certificate"):
        presented_certificate(shake_hands(lax, client)[0])


def test_files_that_do_not_serve_are_named_by_their_settings(
    server: CertificateFiles, device_ca: CertificateAuthority, device_ca_file: Path, tmp_path: Path
) -> None:
    """One that vanished, another one's key, a key with a password that would be asked for."""
    other = device_ca.issue(usages=(CLIENT_AUTH,)).write(tmp_path, "other")
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        device_ca.key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
        )
    )
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    missing = tmp_path / "missing.pem"
    for certificate, key, device_ca_path, named in (
        (missing, server.key, device_ca_file, "FACADE_TLS_CERT_FILE"),
        (server.certificate, other.key, device_ca_file, "FACADE_TLS_KEY_FILE"),
        (server.certificate, locked, device_ca_file, "FACADE_TLS_KEY_FILE"),
        (server.certificate, server.key, garbage, "FACADE_DEVICE_CA_FILE"),
        (server.certificate, server.key, missing, "FACADE_DEVICE_CA_FILE"),
    ):
        with pytest.raises(TlsConfigurationError, match=named):
            server_context(
                certificate=certificate, key=key, device_ca=device_ca_path, minimum="1.3"
            )
