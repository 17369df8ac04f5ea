"""How much of what came over TLS was the records' own: heads, tags and padding.

A record with one byte of content takes 23 bytes. The reader sees only the content, so the kernel is
asked: what it has received on a connection, less what nobody has read yet (tcp(7), linux/tcp.h). On
Linux only.
"""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import Final, Self

from attrs import define, field

from shared.upstream.framing import MAX_FRAMING_BYTES, TooMuchFramingError

# Received and not decrypted yet: as much as uvloop reads at once, and a handshake, whose
# certificates may take 100 KiB.
UNDECRYPTED_BYTES: Final = 512 * 1024

_U64: Final = struct.Struct("=Q")
_INT: Final = struct.Struct("=i")
_TCPI_BYTES_RECEIVED: Final = 128  # its offset in `struct tcp_info`, since Linux 4.1


@define(eq=False)
class TlsRecords:
    """The records of one connection, counted for each request."""

    _socket: socket.socket
    _content: int = field(default=0, init=False)
    _received_before: int = field(default=0, init=False)

    @classmethod
    def of(cls, transport: asyncio.BaseTransport) -> Self | None:
        """Return those of a connection; None without TLS, or if the kernel does not tell."""
        connection = transport.get_extra_info("socket")
        has_tls = transport.get_extra_info("ssl_object") is not None
        return cls(connection) if has_tls and sys.platform == "linux" else None

    def begin(self) -> None:
        """Count from now on."""
        self._content, self._received_before = 0, _received(self._socket)

    def take(self, content: int) -> None:
        """Count content that was decrypted; raise `TooMuchFramingError`."""
        self._content += content
        own = _received(self._socket) - self._received_before - self._content
        if own > self._content + MAX_FRAMING_BYTES + UNDECRYPTED_BYTES:
            raise TooMuchFramingError("the host sends TLS records with next to nothing in them")


def _received(connection: socket.socket) -> int:
    """Return how many of the bytes that the kernel received were read."""
    size = _TCPI_BYTES_RECEIVED + _U64.size
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    unread = bytearray(_INT.size)
    fcntl.ioctl(connection.fileno(), termios.FIONREAD, unread)
    return int(_U64.unpack_from(info, _TCPI_BYTES_RECEIVED)[0]) - int(_INT.unpack(unread)[0])
