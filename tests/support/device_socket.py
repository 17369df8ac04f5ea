"""A device's end of a connection on loopback, and what a test does to the facade's end.

`ssl` encrypts in memory, and the test uses the socket itself, because `ssl`'s own sockets do not
tell a reset connection from a closed one. The device's socket blocks, so it is used from threads:
`await asyncio.to_thread(device.read_to_end)`.
"""

import asyncio
import contextlib
import itertools
import select
import socket
import ssl
import struct
from collections.abc import Iterable
from enum import Enum

from attrs import define, field

PATIENCE_SECONDS = 60.0  # for a loaded machine; to wait longer fails the test
SMALL_BUFFER_BYTES = 4096  # of a device's kernel, so that it soon takes nothing more
_CHUNK_BYTES = 65536
_STEADY_LOOKS = 4  # with nothing taken in any; the device's acknowledgements may wait for 40 ms
_LOOK_SECONDS = 0.02
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class End(Enum):
    """How an answer that a device read ended."""

    GOODBYE = "TLS said that this is all"
    CUT = "the connection was closed without a goodbye"
    RESET = "the connection was reset"


@define
class Device:
    """A TLS client."""

    socket: socket.socket
    _tls: ssl.SSLContext
    _session: ssl.SSLSession | None = None
    _incoming: ssl.MemoryBIO = field(factory=ssl.MemoryBIO, init=False)
    _outgoing: ssl.MemoryBIO = field(factory=ssl.MemoryBIO, init=False)
    connection: ssl.SSLObject = field(init=False)
    _is_through: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """Send nothing yet."""
        self.connection = self._tls.wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost", session=self._session
        )

    def shake_hands(self) -> None:
        """Do the whole handshake; raise `ssl.SSLError` if either end refuses."""
        self.socket.sendall(self.last_flight())

    def last_flight(self) -> bytes:
        """Shake hands, except for the last flight; return that one."""
        while True:
            flight = self.flight()
            if self._is_through:
                return flight
            self.socket.sendall(flight)
            self._receive()

    def flight(self) -> bytes:
        """Return what is to be sent now."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.connection.do_handshake()
            self._is_through = True
        return self._outgoing.read()

    def send(self, content: bytes) -> None:
        """Send it in as many records as it takes."""
        self.socket.sendall(self.encrypted(content))

    def encrypted(self, content: bytes) -> bytes:
        """Return the records, which are to be sent before others."""
        self.connection.write(content)
        return self._outgoing.read()

    def read(self, count: int) -> bytes:
        """Return some bytes, none after the goodbye; raise `ConnectionError` on another end."""
        while True:
            try:
                return self.connection.read(count)
            except ssl.SSLWantReadError:
                self._receive()

    def read_exactly(self, count: int) -> bytes:
        """Return so many bytes."""
        received = bytearray()
        while len(received) < count:
            chunk = self.read(count - len(received))
            assert chunk, "a goodbye"
            received += chunk
        return bytes(received)

    def read_to_end(self, paces: Iterable[int] = ()) -> tuple[bytes, End]:
        """Return all that comes, and how it ends; the first reads are of so many bytes."""
        received = bytearray()
        try:
            for pace in itertools.chain(paces, itertools.repeat(_CHUNK_BYTES)):
                chunk = self.read(pace)
                if not chunk:
                    break
                received += chunk
        except ConnectionAbortedError:
            return bytes(received), End.CUT
        except ConnectionResetError:
            return bytes(received), End.RESET
        return bytes(received), End.GOODBYE

    def refusal_after_writing(self, request: bytes) -> str:
        """Write as a device that does not read yet, then read; return how TLS says it ended.

        By then the facade has refused the certificate: in TLS 1.2 within the handshake, in TLS 1.3
        after it. Raises `ConnectionError` if the connection was reset instead.
        """
        try:
            self.shake_hands()
            readable, _, _ = select.select([self.socket], [], [], PATIENCE_SECONDS)
            assert readable
            for _ in range(3):
                self.send(request)
            self.read(1)
        except ssl.SSLError as refused:
            return str(refused)
        return "nothing"

    def skip(self, count: int) -> None:
        """Read past TLS what `fill_kernel` sent."""
        while count:
            count -= len(self.socket.recv(min(count, _CHUNK_BYTES)))

    def reset(self) -> None:
        """Reset the connection at once, without a goodbye."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.socket.close()

    def _receive(self) -> None:
        chunk = self.socket.recv(_CHUNK_BYTES)
        if not chunk:
            raise ConnectionAbortedError
        self._incoming.write(chunk)


def tcp_pair(*, receive_buffer: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Return the device's end, which blocks, and the facade's, which does not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        device = socket.socket()
        device.settimeout(PATIENCE_SECONDS)
        if receive_buffer is not None:
            device.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        device.connect(listener.getsockname())
        accepted, _ = listener.accept()
    accepted.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return device, accepted


async def fill_kernel(accepted: socket.socket) -> int:
    """Send zeros past TLS until the kernel takes no byte more; return how many a device skips."""
    sent = steady = 0
    while steady < _STEADY_LOOKS:
        taken = _send_zeros(accepted)
        sent += taken
        steady = 0 if taken else steady + 1
        await asyncio.sleep(_LOOK_SECONDS)
    return sent


def _send_zeros(accepted: socket.socket) -> int:
    sent = 0
    for size in (_CHUNK_BYTES, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += accepted.send(bytes(size))
    return sent
