"""A front for a PostgreSQL server that has neither TLS nor a Unix socket itself.

    async with PostgresFront(postgres.port, tls=context) as front:
        url = f"postgresql://...@localhost:{front.port}/..."
        ...
        assert front.links == ["tls"]

It speaks the beginning of the protocol (PostgreSQL's documentation, "SSL Session Encryption"), and
passes everything after it on to the real server.

- `tls`: None answers `N`, as a server without TLS.
- `is_direct`: TLS from the first byte on.
- `breaks_tls`: answers `S` and closes.
- `refuses_tls_logins`: ends what comes over TLS, as `hostnossl` in `pg_hba.conf` does.
- `hangs_up_on_tls`: closes what comes over TLS in the middle of the login.
- `path`: a socket's folder to listen in, in place of a port.
- `links`: what each connection was: `plain` or `tls`; `names`: what TLS was asked for by name.
"""

import asyncio
import contextlib
import ssl
import struct
from pathlib import Path
from typing import Final, Self

from tests.support.served_connections import ServedConnections

SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
SOCKET_NAME: Final = ".s.PGSQL.5432"
READ_BYTES: Final = 64 * 1024
# ErrorResponse with severity, SQLSTATE and message, as of a line that `pg_hba.conf` does not have.
REJECTED: Final = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry\0\0"


class PostgresFront:
    """See the module's docstring."""

    def __init__(
        self,
        server_port: int,
        *,
        tls: ssl.SSLContext | None = None,
        is_direct: bool = False,
        breaks_tls: bool = False,
        refuses_tls_logins: bool = False,
        hangs_up_on_tls: bool = False,
        path: Path | None = None,
    ) -> None:
        self._server_port = server_port
        self._tls = tls
        self._is_direct = is_direct
        self._breaks_tls = breaks_tls
        self._refuses_tls_logins = refuses_tls_logins
        self._hangs_up_on_tls = hangs_up_on_tls
        self._path = path
        self._server: asyncio.Server | None = None
        self._connections = ServedConnections()
        self.links: list[str] = []
        self.names: list[str | None] = []
        if tls is not None:
            tls.sni_callback = self._note_name
            tls.set_alpn_protocols(["postgresql"])

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("the front does not listen")
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        if self._path is not None:
            place = str(self._path / SOCKET_NAME)
            self._server = await asyncio.start_unix_server(self._accept, place)
        else:
            context = self._tls if self._is_direct else None
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        await self._connections.end()

    def _note_name(self, _socket: ssl.SSLObject, name: str | None, _tls: ssl.SSLContext) -> None:
        self.names.append(name)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.begin(self._serve(reader, writer), writer.transport.abort)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):  # a client that does not trust us leaves
            await self._begin(reader, writer)

    async def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(len(SSL_REQUEST))
        if first == SSL_REQUEST:
            if self._tls is None and not self._breaks_tls:
                writer.write(b"N")
                first = await reader.readexactly(len(SSL_REQUEST))
            else:
                writer.write(b"S")
                if self._tls is None:
                    await writer.drain()
                    return
                await writer.start_tls(self._tls)
                first = await reader.readexactly(len(SSL_REQUEST))
        is_tls = writer.get_extra_info("ssl_object") is not None
        self.links.append("tls" if is_tls else "plain")
        if is_tls and self._hangs_up_on_tls:
            return
        if is_tls and self._refuses_tls_logins:
            writer.write(b"E" + struct.pack("!i", len(REJECTED) + 4) + REJECTED)
            await writer.drain()
            return
        await self._relay(first, reader, writer)

    async def _relay(
        self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            to_server.write(first)
            await asyncio.gather(_pass_on(reader, to_server), _pass_on(there, writer))
        finally:
            to_server.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while content := await reader.read(READ_BYTES):
        writer.write(content)
        await writer.drain()
    writer.close()
