"""The server's side of a handshake on a socket that does not block, with devices good and bad."""

import asyncio
import datetime as dt
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from OpenSSL import SSL

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from facade.devices.device_transport import DeviceTransport
from facade.devices.handshake import Handshake
from facade.devices.handshake_end import GIVEN_UP, Ending
from facade.devices.tls import chain_bytes
from tests.support.device_socket import SMALL_BUFFER_BYTES, Device, fill_kernel, tcp_pair
from tests.support.noted_connections import DeviceTls, Notes
from tests.support.server_handshake import SITE, HandshakeRefusedError, shake_hands

BOTH_VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
NOT_TLS = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A device's end, which takes little at a time, and the facade's."""
    device, accepted = tcp_pair(receive_buffer=SMALL_BUFFER_BYTES)
    yield device, accepted
    device.close()
    accepted.close()


Sockets = tuple[socket.socket, socket.socket]


@BOTH_VERSIONS
async def test_a_good_device_is_let_in(
    sockets: Sockets, facade_tls: SSL.Context, device_tls: DeviceTls, version: ssl.TLSVersion
) -> None:
    """In either version, and by the certificate that it presented."""
    raw, accepted = sockets
    device = Device(raw, device_tls(version))
    shaking = asyncio.create_task(shake_hands(accepted, facade_tls))
    await asyncio.to_thread(device.shake_hands)
    ours = await shaking
    assert device.connection.version() == {771: "TLSv1.2", 772: "TLSv1.3"}[version]
    presented = x509.load_der_x509_certificate(chain_bytes(ours)[0][0])
    assert presented.not_valid_after_utc > dt.datetime.now(dt.UTC)
    asyncio.get_running_loop().remove_reader(accepted)  # no transport takes it over


async def test_a_handshake_that_comes_byte_by_byte_is_finished(
    sockets: Sockets, facade_tls: SSL.Context, device_tls: DeviceTls
) -> None:
    """A slow link's; and the kernel may take our own flight late."""
    raw, accepted = sockets
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    skipped = await fill_kernel(accepted)
    shaking = asyncio.create_task(shake_hands(accepted, facade_tls))
    device = Device(raw, device_tls())
    await send_byte_by_byte(raw, device.flight())
    await asyncio.to_thread(device.skip, skipped)
    await send_byte_by_byte(raw, await asyncio.to_thread(device.last_flight))
    chain_bytes(await shaking)  # or it raises
    asyncio.get_running_loop().remove_reader(accepted)


async def test_a_request_that_comes_with_the_last_flight_is_received(
    sockets: Sockets, facade_tls: SSL.Context, device_tls: DeviceTls
) -> None:
    """In one segment, after which the socket is silent."""
    raw, accepted = sockets
    shaking = asyncio.create_task(shake_hands(accepted, facade_tls))
    device = Device(raw, device_tls())
    last = await asyncio.to_thread(device.last_flight)
    raw.sendall(last + device.encrypted(b"first") + device.encrypted(b" and second"))
    notes = Notes()
    transport = DeviceTransport(accepted, await shaking, notes)
    assert await notes.until_received(16) == b"first and second"
    raw.sendall(device.encrypted(b" and third"))
    assert await notes.until_received(26) == b"first and second and third"
    transport.abort()
    await notes.until_lost()


@BOTH_VERSIONS
async def test_whose_certificate_is_not_accepted_is_refused(
    facade_tls: SSL.Context,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    other_ca: CertificateAuthority,
    tmp_path: Path,
    version: ssl.TLSVersion,
) -> None:
    """None, another CA's, one that has expired; the message quotes nothing of it."""
    now = dt.datetime.now(dt.UTC)
    expired = device_ca.issue(uris=["spiffe://a/b"], not_after=now - dt.timedelta(minutes=1))
    for issued, words in (
        (None, "no certificate"),
        (other_ca.issue_device(), "does not hold"),  # of a namesake
        (expired, "expired"),
    ):
        raw, accepted = tcp_pair()
        shaking = asyncio.create_task(shake_hands(accepted, facade_tls))
        tls = bad_device_tls(server_ca, issued, tmp_path)
        tls.maximum_version = version
        seen = await asyncio.to_thread(refusal, Device(raw, tls))
        with pytest.raises(HandshakeRefusedError, match=words):
            await shaking
        assert "ALERT" in seen
        assert accepted.fileno() != -1
        accepted.close()
        raw.close()


@pytest.mark.parametrize(
    "said, words",
    [(b"", "before the first message"), (NOT_TLS, "plain HTTP"), (NOT_TLS[:3], "before the first")],
)
@pytest.mark.parametrize("is_reset", [True, False])
async def test_who_leaves_or_speaks_no_tls_is_refused(
    sockets: Sockets, facade_tls: SSL.Context, said: bytes, words: str, *, is_reset: bool
) -> None:
    """Port scanners, health checks of load balancers, plain HTTP."""
    device, accepted = sockets
    device.sendall(said)
    if is_reset:
        device.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    device.close()
    if is_reset:  # which may drop what was said
        words = f"{words}|before the first message"
    with pytest.raises(HandshakeRefusedError, match=words):
        await shake_hands(accepted, facade_tls)
    assert not asyncio.get_running_loop().remove_reader(accepted)


async def test_a_handshake_that_was_given_up_is_not_watched(
    sockets: Sockets, facade_tls: SSL.Context
) -> None:
    """So that its descriptor can be another connection's."""
    _, accepted = sockets
    ends = list[Ending | None]()
    shaking = Handshake(accepted, SITE, SITE, facade_tls, lambda _, ending: ends.append(ending))
    shaking.begin()
    shaking.give_up()
    assert ends == [GIVEN_UP]
    assert not asyncio.get_running_loop().remove_reader(accepted)
    assert accepted.fileno() != -1


@BOTH_VERSIONS
async def test_a_device_that_offers_its_session_shakes_hands_as_a_whole(
    facade_tls: SSL.Context, device_tls: DeviceTls, version: ssl.TLSVersion
) -> None:
    """By session id and by ticket: a resumed one would be verified no more."""
    tls, session = device_tls(version), None
    for _ in range(2):
        raw, accepted = tcp_pair()
        device = Device(raw, tls, session)
        shaking = asyncio.create_task(shake_hands(accepted, facade_tls))
        await asyncio.to_thread(device.shake_hands)
        ours = await shaking
        ours.send(b"x")  # TLS 1.3's tickets come before it
        assert await asyncio.to_thread(device.read, 1) == b"x"
        assert not device.connection.session_reused
        assert ours.get_verified_chain()
        session = device.connection.session
        accepted.close()
        raw.close()


async def test_a_renegotiation_is_refused(
    sockets: Sockets, facade_tls: SSL.Context, device_ca: CertificateAuthority, tmp_path: Path
) -> None:
    """TLS 1.2 has it: behind an open connection there would be another certificate."""
    device, accepted = sockets
    device.setblocking(True)  # noqa: FBT003 - the standard library's own signature
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    files = device_ca.issue_device().write(tmp_path, "device")
    context.use_certificate_file(str(files.certificate))
    context.use_privatekey_file(str(files.key))
    theirs = SSL.Connection(context, device)
    theirs.set_connect_state()
    ours, _ = await asyncio.gather(
        shake_hands(accepted, facade_tls), asyncio.to_thread(theirs.do_handshake)
    )
    notes = Notes()
    transport = DeviceTransport(accepted, ours, notes)
    assert theirs.renegotiate()
    with pytest.raises(SSL.Error, match="no renegotiation"):
        await asyncio.to_thread(theirs.do_handshake)
    assert ours.total_renegotiations() == 0
    transport.abort()
    await notes.until_lost()


def bad_device_tls(
    server_ca: CertificateAuthority, issued: IssuedCertificate | None, folder: Path
) -> ssl.SSLContext:
    """Return the context of a device with this certificate, or with none."""
    tls = ssl.create_default_context(cadata=server_ca.pem.decode())
    if issued is not None:
        files = issued.write(folder, f"device-{issued.serial:x}")
        tls.load_cert_chain(files.certificate, files.key)
    return tls


async def send_byte_by_byte(device: socket.socket, flight: bytes) -> None:
    """Give the other end a turn after each."""
    for byte in flight:
        device.sendall(bytes([byte]))
        await asyncio.sleep(0)


def refusal(device: Device) -> str:
    """Return what a device is told, in TLS 1.3 only once it reads."""
    try:
        device.shake_hands()
        device.read(1)
    except ssl.SSLError as refused:
        return str(refused)
    return "nothing"
