"""A device's socket and the facade's end of it, on loopback; what either does is up to the test.

The device's end blocks, and is used from threads: `await asyncio.to_thread(read_to_end, device)`.
"""

import asyncio
import socket
import ssl
import struct
from enum import Enum

PATIENCE_SECONDS = 20.0  # for a loaded machine; who waits for longer fails the test
SMALL_BUFFER_BYTES = 4096  # of a device's kernel, so that it soon takes nothing more
_STEADY_LOOKS = 4  # with nothing taken in any; the device's acknowledgements may wait for 40 ms
_LOOK_SECONDS = 0.02
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class End(Enum):
    """How what a device read ended."""

    GOODBYE = "TLS said that this is all"
    CUT = "the connection was closed without a goodbye"
    RESET = "the connection was reset"


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


def begin_tls(
    device: socket.socket, tls: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> ssl.SSLSocket:
    """Shake hands as a device."""
    return tls.wrap_socket(
        device, server_hostname="localhost", suppress_ragged_eofs=False, session=session
    )


def read_exactly(device: ssl.SSLSocket, count: int) -> bytes:
    """Return the next bytes, fewer where it ends before."""
    received = bytearray()
    while len(received) < count and (chunk := device.recv(count - len(received))):
        received += chunk
    return bytes(received)


def read_to_end(device: ssl.SSLSocket) -> tuple[bytes, End]:
    """Return all that still comes, and how it ended."""
    received = bytearray()
    try:
        while chunk := device.recv(65536):
            received += chunk
    except (ssl.SSLEOFError, ConnectionError):
        return bytes(received), _end_without_goodbye(device)
    return bytes(received), End.GOODBYE


def reset(device: socket.socket) -> None:
    """Be gone at once, and tell nobody why."""
    device.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    socket.socket.close(device)


async def fill_kernel(accepted: socket.socket) -> int:
    """Send zeros past TLS until the kernel takes no byte more; return how many a device skips."""
    sent = steady = 0
    while steady < _STEADY_LOOKS:
        taken = _send_zeros(accepted)
        sent += taken
        steady = 0 if taken else steady + 1
        await asyncio.sleep(_LOOK_SECONDS)
    return sent


def skip(device: socket.socket, count: int) -> None:
    """Read past TLS what `fill_kernel` sent."""
    while count:
        count -= len(socket.socket.recv(device, min(count, 65536)))


def _end_without_goodbye(device: socket.socket) -> End:
    """Tell what `ssl` does not: the kernel forgets the peer of a connection that was reset."""
    try:
        device.getpeername()
    except OSError:
        return End.RESET
    return End.CUT


def _send_zeros(accepted: socket.socket) -> int:
    sent = 0
    for size in (65536, 1):
        try:
            while True:
                sent += accepted.send(bytes(size))
        except BlockingIOError:
            continue
    return sent
