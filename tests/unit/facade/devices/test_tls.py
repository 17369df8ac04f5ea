"""The context of the device address, and what is refused on a finished handshake."""

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from deploy.dev.device_ca import (
    CLIENT_AUTH,
    SERVER_AUTH,
    CertificateAuthority,
    CertificateFiles,
    IssuedCertificate,
)
from facade.devices.identification import CurrentIdentification
from facade.devices.known_devices import (
    MAX_KNOWN_BYTES_OF_ONE_DEVICE,
    KnownDevices,
    _digest_of,
)
from facade.devices.presented_device import identify
from facade.devices.tls import (
    RefusedConnectionError,
    TlsConfigurationError,
    chain_bytes,
    server_context,
)
from facade.values.device_identity import IdentityRule
from shared.identity_form import DEFAULT_URI_PATTERN, IdentityKind, compile_uri_pattern

RULE = IdentityRule(IdentityKind.SPIFFE, compile_uri_pattern(DEFAULT_URI_PATTERN))
RECORDS = 1 << 20  # more than a handshake's


@pytest.fixture
def server(server_ca: CertificateAuthority, tmp_path: Path) -> CertificateFiles:
    """The facade's own certificate."""
    return server_ca.issue_server().write(tmp_path, "server")


def context_of(
    server: CertificateFiles, *authorities: x509.Certificate, minimum: str = "1.2"
) -> SSL.Context:
    """Return the context of a facade."""
    return server_context(
        certificate=server.certificate.read_bytes(),
        key=server.key.read_bytes(),
        device_cas=authorities,
        minimum=minimum,
    )


@pytest.fixture
def context(server: CertificateFiles, device_ca: CertificateAuthority) -> SSL.Context:
    """The context of a facade that allows TLS 1.2."""
    return context_of(server, device_ca.certificate)


def shake_hands(
    context: SSL.Context, client: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[SSL.Connection, ssl.SSLObject]:
    """Return both ends of a finished handshake, in memory; raise what either end fails with."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_end = SSL.Connection(context)
    server_end.set_accept_state()
    client_end = client.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
    pending: list[ssl.SSLObject | SSL.Connection] = [client_end, server_end]
    while pending:
        for end in list(pending):
            try:
                end.do_handshake()
                pending.remove(end)
            except (ssl.SSLWantReadError, SSL.WantReadError):
                pass
            if to_server.pending:
                server_end.bio_write(to_server.read())
            with suppress(SSL.WantReadError):
                to_client.write(server_end.bio_read(RECORDS))
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


def test_tls_1_2_is_spoken_only_where_it_is_allowed(
    server: CertificateFiles,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """With forward secrecy and an AEAD."""
    client = client_context(server_ca, device_ca.issue_device(), tmp_path, ssl.TLSVersion.TLSv1_2)
    _, allowed = shake_hands(context_of(server, device_ca.certificate), client)
    cipher = allowed.cipher()
    assert cipher is not None
    assert cipher[0].startswith("ECDHE-")
    assert "GCM" in cipher[0]
    with pytest.raises(SSL.Error):
        shake_hands(context_of(server, device_ca.certificate, minimum="1.3"), client)


def test_http_1_1_is_chosen_and_nothing_else(
    context: SSL.Context,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """A client of HTTP/2 that says so is answered with what we speak."""
    for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None), ([], None)):
        client = client_context(server_ca, device_ca.issue_device(), tmp_path)
        if offered:
            client.set_alpn_protocols(offered)
        assert shake_hands(context, client)[1].selected_alpn_protocol() == chosen


def test_a_devices_certificate_is_returned(
    context: SSL.Context,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """The very one that was presented, in either version of TLS."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        issued = device_ca.issue_device()
        client = client_context(server_ca, issued, tmp_path, version)
        server_end, _ = shake_hands(context, client)
        assert chain_bytes(server_end)[0][0] == issued.certificate.public_bytes(Encoding.DER)


@pytest.mark.parametrize("usages", [(), (SERVER_AUTH,)])
def test_a_certificate_that_is_not_a_clients_is_refused(
    context: SSL.Context,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path: Path,
    usages: tuple[object, ...],
) -> None:
    """OpenSSL refuses the wrong usage itself, and lets the missing one pass."""
    issued = device_ca.issue(uris=["spiffe://a/b"], usages=usages)  # type: ignore[arg-type]  # object identifiers
    client = client_context(server_ca, issued, tmp_path)
    with pytest.raises((RefusedConnectionError, SSL.Error)):
        KnownDevices(RULE).identify(shake_hands(context, client)[0])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed(
    context: SSL.Context,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path: Path,
    version: ssl.TLSVersion,
) -> None:
    """Whoever offers one shakes hands as a whole, and is verified as a whole."""
    client = client_context(server_ca, device_ca.issue_device(), tmp_path, version)
    _, first = shake_hands(context, client)
    server_end, second = shake_hands(context, client, first.session)
    assert not second.session_reused
    assert chain_bytes(server_end)[0][-1] == device_ca.certificate.public_bytes(Encoding.DER)


def test_a_resumed_session_would_be_refused(
    context: SSL.Context,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """Should a context ever be made that resumes: nothing was verified then."""
    context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
    context.set_session_id(b"facade")
    client = client_context(server_ca, device_ca.issue_device(), tmp_path, ssl.TLSVersion.TLSv1_2)
    first_end, first = shake_hands(context, client)
    server_end, second = shake_hands(context, client, first.session)
    assert second.session_reused
    known = KnownDevices(RULE)
    with pytest.raises(RefusedConnectionError, match="no certificate was presented and verified"):
        known.identify(server_end)
    assert known.identify(first_end).identity is not None
    with pytest.raises(RefusedConnectionError, match="no certificate was presented and verified"):
        known.identify(server_end)


def test_a_device_that_comes_back_is_known_and_no_other_is(
    context: SSL.Context,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """Its certificate is read once; what is known of it is what would be read again."""
    known, clients = KnownDevices(RULE), []
    for folder, name in (("one", "press-7"), ("other", "press-8"), ("renewed", "press-7")):
        (tmp_path / folder).mkdir()
        issued = device_ca.issue_device(device=name)
        clients.append(client_context(server_ca, issued, tmp_path / folder, ssl.TLSVersion.TLSv1_3))
    ends = [shake_hands(context, client)[0] for client in (*clients, clients[0])]
    one, other, renewed, again = map(known.identify, ends)
    assert again is one
    assert one == identify(*chain_bytes(ends[3]), RULE)
    assert one.id == renewed.id != other.id
    assert len({one.serial, other.serial, renewed.serial}) == 3


@pytest.mark.parametrize("where", ["leaf", "verified", "brought"])
def test_a_chain_in_which_one_certificate_does_not_parse_is_refused(
    device_ca: CertificateAuthority, where: str
) -> None:
    """OpenSSL reads some that cryptography does not, and asks nothing of a CA that it did not need.

    The whole chain is read again when files change, so whoever is let in with one would be cut.
    """
    leaf = device_ca.issue_device().certificate.public_bytes(Encoding.DER)
    authority = device_ca.certificate.public_bytes(Encoding.DER)
    assert identify([leaf, authority], [authority], RULE).identity is not None
    verified = [leaf[:-1] if where == "leaf" else leaf, authority]
    if where == "verified":
        verified[1] = authority[:-1]
    brought = [authority[:-1]] if where == "brought" else []
    with pytest.raises(RefusedConnectionError, match="does not parse"):
        identify(verified, brought, RULE)


def test_a_device_that_sends_other_authorities_each_time_pushes_out_itself_alone(
    context: SSL.Context,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """Nothing signs what it sends beside its own chain, which may be long."""
    known, version = KnownDevices(RULE), ssl.TLSVersion.TLSv1_3
    (tmp_path / "other").mkdir()
    other = client_context(
        server_ca, device_ca.issue_device(device="press-8"), tmp_path / "other", version
    )
    issued, clients = device_ca.issue_device(), []
    for number in range(3):
        (folder := tmp_path / str(number)).mkdir()
        padded = evolve(issued, chain_pem=issued.chain_pem + padding(number))
        clients.append(client_context(server_ca, padded, folder, version))
    modest, first, second, third = (
        known.identify(shake_hands(context, each)[0]) for each in (other, *clients)
    )
    assert first == second == third
    assert known.identify(shake_hands(context, clients[2])[0]) is third
    assert known.identify(shake_hands(context, other)[0]) is modest
    assert known.identify(shake_hands(context, clients[0])[0]) is not first


def padding(number: int) -> bytes:
    """Return a CA's certificate, of which nobody has heard, of half of what one device may have."""
    content = number.to_bytes(4) * (MAX_KNOWN_BYTES_OF_ONE_DEVICE // 8)
    more = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), content)
    return CertificateAuthority.create("padding").renewed(limits=[more]).pem


def test_devices_are_read_again_once_certificates_are_read_in_another_way(
    context: SSL.Context,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """A changed file of identity profiles counts for whoever comes next, known or not."""
    now = CurrentIdentification(RULE)
    known = KnownDevices(now)
    client = client_context(server_ca, device_ca.issue_device(), tmp_path, ssl.TLSVersion.TLSv1_3)
    ends = [shake_hands(context, client)[0] for _ in range(2)]
    assert known.identify(ends[0]).identity is not None
    now.current = IdentityRule(IdentityKind.DNS, RULE.uri_pattern)
    assert known.identify(ends[1]).identity is None
    now.current = RULE
    assert known.identify(ends[1]).identity is not None


CHAINS = st.tuples(st.lists(st.binary(max_size=4)), st.lists(st.binary(max_size=4)))


@given(CHAINS, CHAINS)
def test_two_devices_that_present_other_bytes_are_never_taken_for_one(
    one: tuple[list[bytes], list[bytes]], other: tuple[list[bytes], list[bytes]]
) -> None:
    """Wherever one certificate ends and the next begins, and whether it was verified or brought."""
    assert (_digest_of(*one) == _digest_of(*other)) == (one == other)


def test_an_end_without_a_certificate_is_refused(
    context: SSL.Context, server_ca: CertificateAuthority
) -> None:
    """Should a context ever be made that requires none."""
    context.set_verify(SSL.VERIFY_NONE)
    client = ssl.create_default_context(cadata=server_ca.pem.decode())
    with pytest.raises(RefusedConnectionError, match="no certificate"):
        chain_bytes(shake_hands(context, client)[0])


def test_files_that_do_not_serve_are_named_by_their_settings(
    server: CertificateFiles, device_ca: CertificateAuthority, tmp_path: Path
) -> None:
    """None at all, another one's key, a key with a password, one that signs nothing."""
    good, key = server.certificate.read_bytes(), server.key.read_bytes()
    other = device_ca.issue(usages=(CLIENT_AUTH,)).write(tmp_path, "other")
    locked = device_ca.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    no_signer = X25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for certificate, tried in (
        (b"", key),
        (b"garbage", key),
        (good, b""),
        (good, b"garbage"),
        (good, other.key.read_bytes()),
        (good, locked),
        (good, no_signer),
    ):
        with pytest.raises(TlsConfigurationError, match=r"FACADE_TLS_CERT_FILE.*_KEY_FILE"):
            server_context(
                certificate=certificate,
                key=tried,
                device_cas=[device_ca.certificate],
                minimum="1.3",
            )


def test_a_key_behind_its_curves_parameters_is_read(
    server_ca: CertificateAuthority, device_ca: CertificateAuthority
) -> None:
    """As `openssl ecparam -genkey` writes it."""
    issued = server_ca.issue_server()
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    pem = issued.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    context = server_context(
        certificate=issued.certificate.public_bytes(Encoding.PEM),
        key=parameters + pem,
        device_cas=[device_ca.certificate],
        minimum="1.3",
    )
    context.check_privatekey()
