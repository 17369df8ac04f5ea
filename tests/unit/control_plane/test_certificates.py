"""Certificates that come to the control plane: a connection's, its own server's, its client's."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from control_plane.commands.api_client import ApiClient
from control_plane.connections.fields import (
    MAX_CA_CERTIFICATE_CHARACTERS,
    certificates_alone,
    parse_ca_certificate,
)
from control_plane.http.server_tls import CERTIFICATE, KEY, ServerTls, TlsFilesError
from control_plane.serving.config import ClientSettings
from deploy.dev.device_ca import CertificateAuthority
from shared.environment import ConfigurationError
from shared.secret import Secret

ROOT = CertificateAuthority.create("root of Größe")
LINE = ROOT.make_intermediate("line")
SERVER = LINE.issue_server()
LEAF = SERVER.certificate.public_bytes(Encoding.PEM).decode()
COMMENT = "# Größe, 証明書\n"
CANARY = "canary5f3a"


@pytest.mark.parametrize("pem", [ROOT.pem.decode(), LINE.pem.decode(), LEAF])
def test_a_connection_trusts_a_ca_of_any_height_or_a_leaf(pem: str) -> None:
    """What is kept is the certificate alone, however it was written down."""
    for text in (pem, COMMENT + pem, f"\ufeff{pem}", pem.replace("\n", "\r\n"), f"{pem}{COMMENT}"):
        assert parse_ca_certificate(text) == pem
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
        comment = COMMENT if encoding != "latin-1" else "# Größe\n"
        assert certificates_alone((comment + pem).encode(encoding)) == pem


def test_a_bundle_keeps_its_order() -> None:
    """And what stands between is left out."""
    both = ROOT.pem.decode() + LINE.pem.decode()
    assert parse_ca_certificate(ROOT.pem.decode() + COMMENT + LINE.pem.decode()) == both


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "expected certificates in PEM: it holds no certificate"),
        (CANARY, "expected certificates in PEM: it holds no certificate"),
        (LEAF[:-40], "is the file cut off"),
        (LEAF.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "TRUSTED CERTIFICATE"),
        (LEAF + SERVER.key_pem.decode(), "this holds a private key"),
        (SERVER.key_pem.decode(), "this holds a private key"),
        (SERVER.key_pem.decode()[:-40], "this holds a private key"),
        (f"{CANARY}{'x' * MAX_CA_CERTIFICATE_CHARACTERS}", "at most"),
    ],
)
def test_what_is_not_certificates_alone_is_refused_and_not_quoted(text: str, words: str) -> None:
    """A private key above all."""
    with pytest.raises(ValueError, match=words) as refused:
        parse_ca_certificate(text)
    assert CANARY not in str(refused.value)
    assert SERVER.key_pem.decode().splitlines()[1] not in str(refused.value)


def test_words_about_a_private_key_are_no_private_key() -> None:
    """A comment may say where it is."""
    assert parse_ca_certificate(f"# its PRIVATE KEY is in the vault\n{LEAF}") == LEAF


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_the_servers_own_certificate_and_key_are_read_in_every_dress(encoding: str) -> None:
    """With comments, and both in one file."""
    comment = "# Größe\n"
    chain = (comment + SERVER.chain_pem.decode()).encode(encoding)
    key = (comment + SERVER.key_pem.decode()).encode(encoding)
    both = (comment + SERVER.chain_pem.decode() + SERVER.key_pem.decode()).encode(encoding)
    for certificate, private in ((chain, key), (both, both)):
        context = ServerTls.of({CERTIFICATE: certificate, KEY: private}).context
        assert presented(context) == ssl.PEM_cert_to_DER_cert(LEAF)


@pytest.mark.parametrize(
    "certificate, words",
    [
        (SERVER.chain_pem.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"), "openssl x509"),
        (SERVER.chain_pem.replace(b"\nM", b"\nN", 1), "certificate 1 of the file does not parse"),
        (SERVER.chain_pem[:-40], "cut off"),
    ],
)
def test_a_server_certificate_that_cannot_be_read_is_told_why(
    certificate: bytes, words: str
) -> None:
    """The file is the right one."""
    with pytest.raises(TlsFilesError, match=words) as refused:
        ServerTls.of({CERTIFICATE: certificate, KEY: SERVER.key_pem})
    assert refused.value.setting == CERTIFICATE


def presented(context: ssl.SSLContext) -> bytes | None:
    """Return the certificate that a server with this context shows."""
    client = ssl.create_default_context(cadata=ROOT.pem.decode())
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        context.wrap_bio(to_server, to_client, server_side=True),
    ]
    pending = list(ends)
    while pending:
        for end in list(pending):
            try:
                end.do_handshake()
                pending.remove(end)
            except ssl.SSLWantReadError:
                pass
    return ends[0].getpeercert(binary_form=True)


def client_settings(ca_file: Path) -> ClientSettings:
    """Return what a command is configured with."""
    return ClientSettings(url="https://localhost:1", token=Secret(CANARY), ca_file=ca_file)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
async def test_the_clients_ca_file_is_read_in_every_dress(tmp_path: Path, encoding: str) -> None:
    """It is the same parser for all."""
    path = tmp_path / "ca.pem"
    path.write_bytes(f"# Größe\n{LEAF}".encode(encoding))
    async with ApiClient.open(client_settings(path)):
        pass


@pytest.mark.parametrize("content", [b"", CANARY.encode(), LEAF.encode()[:-40]])
async def test_a_clients_ca_file_without_certificates_is_named(
    tmp_path: Path, content: bytes
) -> None:
    """By its variable, and with the reason."""
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"CONTROL_PLANE_CA_FILE: .*PEM: \w+") as refused:
        async with ApiClient.open(client_settings(path)):
            pass
    assert CANARY not in str(refused.value)
