"""Devices that come back at the same moment, as after a site's power cut; in one thread."""

import hashlib
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

from tests.bench.load.answer import Head, WrongAnswerError
from tests.bench.load.connection import (
    CIPHER,
    request,
    require_cipher,
    require_key_exchange,
)
from tests.bench.load.jobs import Identity, Result, StormJob

RECEIVE_BYTES = 16 * 1024
BEGIN_AT_ONCE = 64  # connections, before those that are begun have their turn
PAUSE_SECONDS = 0.2  # before a device that failed begins again
SILENCE_SECONDS = 60.0  # nothing for any device for so long: the server hangs
GIVE_UP_SECONDS = 300.0  # some attempts fail for ever


@define(eq=False)
class Device:
    """One device, from its first connection to its answer."""

    job: StormJob
    context: SSL.Context
    certificate: x509.Certificate
    key: EllipticCurvePrivateKey
    began: float | None = None
    ended: float = 0.0
    _socket: socket.socket | None = field(default=None, init=False)
    _tls: SSL.Connection | None = field(default=None, init=False)
    _has_asked: bool = field(default=False, init=False)
    _received: bytearray = field(factory=bytearray, init=False)

    def connect(self) -> socket.socket:
        """Begin to connect, and do not wait."""
        if self.began is None:
            self.began = time.monotonic()
        connection = socket.socket()
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.connect_ex(("127.0.0.1", self.job.target.port))
        self._socket, self._tls = connection, None
        self._has_asked, self._received = False, bytearray()
        return connection

    def go_on(self) -> bool:
        """Do what can be done now; tell whether the answer is there.

        Raises `WrongAnswerError`, `SSL.Error` or `OSError` where the attempt failed.
        """
        assert self._socket is not None
        if self._tls is None:
            self._tls = self._begin_handshake(self._socket)
        try:
            if not self._has_asked:
                self._tls.do_handshake()
                require_cipher(self._tls.get_cipher_name())
                require_key_exchange(self._tls.get_group_name())
                self._tls.send(request(self.job.target, self.job.asked.path))
                self._has_asked = True
            while not self._is_answered():
                self._received += self._tls.recv(RECEIVE_BYTES)
        except SSL.WantReadError:
            return False
        self.ended = time.monotonic()
        self._tls.shutdown()
        self.hang_up()
        return True

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = self._tls = None

    def _begin_handshake(self, connected: socket.socket) -> SSL.Connection:
        if error := connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, "not connected")
        tls = SSL.Connection(self.context, connected)
        tls.use_certificate(self.certificate)
        tls.use_privatekey(self.key)
        tls.set_connect_state()
        tls.set_tlsext_host_name(b"localhost")
        return tls

    def _is_answered(self) -> bool:
        head, asked = Head.parse(self._received), self.job.asked
        if head is None or len(self._received) < head.size + head.length:
            return False
        head.require(asked.length)
        if hashlib.sha256(self._received[head.size :]).hexdigest() != asked.sha256:
            raise WrongAnswerError("other bytes came")
        return True


def prepare(job: StormJob) -> Callable[[], Result]:
    """Read every device's certificate and key; return what lets all of them come."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(CIPHER.encode())
    context.load_verify_locations(job.target.ca)
    context.set_verify(SSL.VERIFY_PEER)
    devices = [_device(job, context, identity) for identity in job.devices]
    return lambda: _Storm(devices).run()


def _device(job: StormJob, context: SSL.Context, identity: Identity) -> Device:
    certificate = x509.load_pem_x509_certificate(Path(identity.certificate).read_bytes())
    key = load_pem_private_key(Path(identity.key).read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    return Device(job, context, certificate, key)


@define(eq=False)
class _Storm:
    """Devices that have not begun, those under way, and those that begin again."""

    _devices: list[Device]
    _new: deque[Device] = field(init=False)
    _again: deque[tuple[float, Device]] = field(factory=deque, init=False)  # and from when on
    _under_way: dict[int, Device] = field(factory=dict, init=False)  # by descriptor
    _poll: "select.epoll" = field(factory=select.epoll, init=False)
    _failures: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with nobody."""
        self._new = deque(self._devices)

    def run(self) -> Result:
        """Return when every device has its answer. Raises `WrongAnswerError` if one never has."""
        began = heard = time.monotonic()
        while self._new or self._again or self._under_way:
            self._begin_some()
            ready = self._poll.poll(0 if self._new else PAUSE_SECONDS)
            for descriptor, _ in ready:
                self._go_on(descriptor)
            now = time.monotonic()
            heard = now if ready else heard
            if now - heard > SILENCE_SECONDS or now - began > GIVE_UP_SECONDS:
                raise WrongAnswerError(f"{len(self._under_way)} devices wait for ever")
        marks = [device.ended - (device.began or began) for device in self._devices]
        return Result(began, time.monotonic(), len(marks), marks, failures=self._failures)

    def _begin_some(self) -> None:
        now = time.monotonic()
        while self._again and self._again[0][0] <= now:
            self._begin(self._again.popleft()[1])
        for _ in range(min(BEGIN_AT_ONCE, len(self._new))):
            self._begin(self._new.popleft())

    def _begin(self, device: Device) -> None:
        descriptor = device.connect().fileno()
        self._under_way[descriptor] = device
        self._poll.register(descriptor, select.EPOLLOUT)

    def _go_on(self, descriptor: int) -> None:
        device = self._under_way[descriptor]
        try:
            is_done = device.go_on()
        except (WrongAnswerError, SSL.Error, OSError):
            self._failures += 1
            device.hang_up()
            self._again.append((time.monotonic() + PAUSE_SECONDS, device))
            is_done = True
        else:
            if not is_done:  # what is sent is small, and the kernel takes it
                self._poll.modify(descriptor, select.EPOLLIN)
        if is_done:
            del self._under_way[descriptor]
