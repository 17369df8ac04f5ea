"""A server in PostgreSQL's place that lets everybody in, and answers without an end.

It speaks as much of the protocol (3.0) as it takes until a client waits for it: without TLS, and
with no password asked for.
"""

import asyncio
import contextlib
import struct
from typing import Final, Self

from attrs import define, field, frozen

from tests.support.postgres_front import SSL_REQUEST
from tests.support.served_connections import ServedConnections

_READ_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 64 * 1024


def message(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    """Return a message of a server; with `length`, that many bytes are announced."""
    return kind + struct.pack("!i", len(content) + 4 if length is None else length) + content


LET_IN: Final = (
    message(b"R", bytes(4))
    + message(b"S", b"server_version\x0015.0\0")
    + message(b"S", b"client_encoding\0UTF8\0")
    + message(b"K", bytes(8))
    + message(b"Z", b"I")
)


@frozen
class Endless:
    """What comes, and comes again for ever: in the login's place, or in that of an answer."""

    begin: bytes
    again: bytes
    in_login: bool = False


@define(eq=False)
class HostilePostgres:
    """Listens on loopback while it is entered; each connection is answered in the same way."""

    answer: Endless
    logins: int = field(default=0, init=False)  # connections that came so far
    sent_bytes: int = field(default=0, init=False)  # on all of them, behind the login
    _server: asyncio.Server | None = field(default=None, init=False)
    _connections: ServedConnections = field(factory=ServedConnections, init=False)

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("it does not listen")
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        await self._connections.end()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.begin(self._serve(reader, writer), writer.transport.abort)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):  # a client that had enough leaves
            if await reader.readexactly(len(SSL_REQUEST)) == SSL_REQUEST:
                writer.write(b"N")
            await reader.read(_READ_BYTES)
            self.logins += 1
            if not self.answer.in_login:
                writer.write(LET_IN)
                await reader.read(_READ_BYTES)
            writer.write(self.answer.begin)
            again = self.answer.again * (_PIECE_BYTES // len(self.answer.again) + 1)
            while True:
                writer.write(again)
                await writer.drain()
                self.sent_bytes += len(again)
