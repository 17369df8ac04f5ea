"""The server's side of a handshake on a socket that does not block, with devices good and bad."""

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, field
from OpenSSL import SSL

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from facade.devices.device_transport import DeviceTransport
from facade.devices.handshake import HandshakeFailedError, shake_hands
from facade.devices.tls import presented_certificate
from tests.support.device_socket import (
    SMALL_BUFFER_BYTES,
    begin_tls,
    fill_kernel,
    reset,
    skip,
    tcp_pair,
)
from tests.support.noted_connections import DeviceTls, Notes

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


@define
class HandDriven:
    """A device whose bytes are carried to the socket by the test."""

    _socket: socket.socket
    _tls: ssl.SSLContext
    _incoming: ssl.MemoryBIO = field(factory=ssl.MemoryBIO, init=False)
    _outgoing: ssl.MemoryBIO = field(factory=ssl.MemoryBIO, init=False)
    connection: ssl.SSLObject = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.connection = self._tls.wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost"
        )

    def begin(self) -> bytes:
        """Return the first flight."""
        with pytest.raises(ssl.SSLWantReadError):
            self.connection.do_handshake()
        return self._outgoing.read()

    def until_last_flight(self) -> bytes:
        """Shake hands up to the flight that ends it; return that one."""
        while True:
            try:
                self.connection.do_handshake()
            except ssl.SSLWantReadError:
                self._socket.sendall(self._outgoing.read())
                self._incoming.write(self._socket.recv(65536))
            else:
                return self._outgoing.read()

    def encrypted(self, content: bytes) -> bytes:
        """Return it as the device sends it."""
        self.connection.write(content)
        return self._outgoing.read()


@BOTH_VERSIONS
async def test_a_good_device_is_let_in(
    sockets: Sockets, facade_tls: SSL.Context, device_tls: DeviceTls, version: ssl.TLSVersion
) -> None:
    """In either version, and by the certificate that it presented."""
    device, accepted = sockets
    shaking = asyncio.create_task(shake_hands(accepted, facade_tls))
    with await asyncio.to_thread(begin_tls, device, device_tls(version)) as theirs:
        ours = await shaking
        assert theirs.version() == {771: "TLSv1.2", 772: "TLSv1.3"}[version]
        assert presented_certificate(ours).not_valid_after_utc > dt.datetime.now(dt.UTC)
    assert not asyncio.get_running_loop().remove_reader(accepted)


async def test_a_handshake_that_comes_byte_by_byte_is_finished(
    sockets: Sockets, facade_tls: SSL.Context, device_tls: DeviceTls
) -> None:
    """A slow link's; and the kernel may take our own flight late."""
    device, accepted = sockets
    device.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    skipped = await fill_kernel(accepted)
    shaking = asyncio.create_task(shake_hands(accepted, facade_tls))
    driven = HandDriven(device, device_tls())
    await send_byte_by_byte(device, driven.begin())
    await asyncio.to_thread(skip, device, skipped)
    await send_byte_by_byte(device, await asyncio.to_thread(driven.until_last_flight))
    presented_certificate(await shaking)  # or it raises


async def test_a_request_that_comes_with_the_last_flight_is_received(
    sockets: Sockets, facade_tls: SSL.Context, device_tls: DeviceTls
) -> None:
    """In one segment, after which the socket is silent."""
    device, accepted = sockets
    shaking = asyncio.create_task(shake_hands(accepted, facade_tls))
    driven = HandDriven(device, device_tls())
    last = await asyncio.to_thread(driven.until_last_flight)
    device.sendall(last + driven.encrypted(b"first") + driven.encrypted(b" and second"))
    notes = Notes()
    transport = DeviceTransport(accepted, await shaking, notes)
    assert await notes.until_received(16) == b"first and second"
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
    for issued in (None, other_ca.issue_device(), expired):
        device, accepted = tcp_pair()
        shaking = asyncio.create_task(shake_hands(accepted, facade_tls))
        tls = bad_device_tls(server_ca, issued, tmp_path)
        tls.maximum_version = version
        seen = await asyncio.to_thread(refusal, device, tls)
        with pytest.raises(HandshakeFailedError, match=r"^Error$"):
            await shaking
        assert "ALERT" in seen
        assert accepted.fileno() != -1
        accepted.close()


@pytest.mark.parametrize("said", [b"", NOT_TLS, NOT_TLS[:3]])
@pytest.mark.parametrize("is_reset", [True, False])
async def test_who_leaves_or_speaks_no_tls_is_refused(
    sockets: Sockets, facade_tls: SSL.Context, said: bytes, *, is_reset: bool
) -> None:
    """Port scanners, health checks of load balancers, plain HTTP."""
    device, accepted = sockets
    device.sendall(said)
    if is_reset:
        reset(device)
    else:
        device.close()
    with pytest.raises(HandshakeFailedError, match=r"^\w+Error$|^Error$"):
        await shake_hands(accepted, facade_tls)
    assert not asyncio.get_running_loop().remove_reader(accepted)


async def test_a_handshake_that_was_given_up_is_not_watched(
    sockets: Sockets, facade_tls: SSL.Context
) -> None:
    """So that its descriptor can be another connection's."""
    _, accepted = sockets
    shaking = asyncio.create_task(shake_hands(accepted, facade_tls))
    await asyncio.sleep(0.01)
    shaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shaking
    assert not asyncio.get_running_loop().remove_reader(accepted)
    assert accepted.fileno() != -1


@BOTH_VERSIONS
async def test_a_device_that_offers_its_session_shakes_hands_as_a_whole(
    facade_tls: SSL.Context, device_tls: DeviceTls, version: ssl.TLSVersion
) -> None:
    """By session id and by ticket: a resumed one would be verified no more."""
    tls, session = device_tls(version), None
    for _ in range(2):
        device, accepted = tcp_pair()
        shaking = asyncio.create_task(shake_hands(accepted, facade_tls))
        with await asyncio.to_thread(begin_tls, device, tls, session) as theirs:
            ours = await shaking
            ours.send(b"x")  # TLS 1.3's tickets come before it
            assert await asyncio.to_thread(theirs.recv, 1) == b"x"
            assert not theirs.session_reused
            assert ours.get_verified_chain()
            session = theirs.session
        accepted.close()


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


def refusal(device: socket.socket, tls: ssl.SSLContext) -> str:
    """Return what a device is told, in TLS 1.3 only once it reads."""
    with pytest.raises(ssl.SSLError) as refused, begin_tls(device, tls) as theirs:
        theirs.recv(1)
    return str(refused.value)
