"""HTTP/1.1 on a raw socket, for servers that must be able to break it.

`WireServer` reads requests, records them whole, and hands each to `respond` with a `Wire` that
writes whatever it is told to. Keep-alive is honoured unless the answer closed the connection.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qsl, urlsplit

from attrs import define, evolve, field, frozen

from tests.support.served_connections import ServedConnections

TLS_HANDSHAKE = b"\x16"
MAX_REQUEST_HEAD_BYTES = 64 * 1024  # asyncio's own limit for readuntil
LOOK_SECONDS = 0.05  # by then the client's program has it too, if nothing else runs
LOOKS = 100  # for a client to take what was written; some are made to take nothing

Address = tuple[str, int]


@frozen
class RecordedRequest:
    """A request as it came in: nothing decoded, nothing dropped."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(default=b"", repr=False)

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> list[tuple[str, str]]:
        """The query's parameters in order."""
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True)

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Wire:
    """One connection, mostly its write side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_closed = False
        self.written_bytes = 0  # heads and bodies; the client may not have taken all of them

    async def head(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Write the status line and exactly these headers."""
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Odd"
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
        await self.write("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape"))

    async def write(self, content: bytes) -> None:
        """Write bytes as they are; raise `ConnectionError` if the client has left."""
        if self._writer.transport.is_closing():
            raise ConnectionAbortedError
        self._writer.write(content)
        self.written_bytes += len(content)
        await self._writer.drain()

    def close(self) -> None:
        """Close after what was written: a clean end."""
        self.is_closed = True
        self._writer.close()

    async def until_read(self) -> None:
        """Return once the client has taken what was written, or does not.

        A reset throws away what waits in either kernel. What the client's program has, it keeps.
        """
        transport = self._writer.transport
        for _ in range(LOOKS):
            await asyncio.sleep(LOOK_SECONDS)
            is_sent = transport.get_write_buffer_size() == 0
            if transport.is_closing() or (is_sent and not self._waits_in_kernel()):
                return

    def _waits_in_kernel(self) -> bool:
        ours, theirs = (self._writer.get_extra_info(name) for name in ("sockname", "peername"))
        unsent, _ = _sockets.queues(ours, theirs)
        _, unread = _sockets.queues(theirs, ours)
        return bool(unsent or unread)

    def reset(self) -> None:
        """Reset the connection; what the client has not read yet is lost, see `until_read`."""
        self.is_closed = True
        raw = self._writer.get_extra_info("socket")
        if raw is not None:  # the client has not left before
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes on in both directions, as a tunnel does, until either side ends."""
        ways = [_pipe(self._reader, writer), _pipe(reader, self._writer)]
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self.close()

    async def until_peer_left(self) -> None:
        """Say nothing until the other side is gone."""
        while await self._reader.read(MAX_REQUEST_HEAD_BYTES):
            pass
        self.is_closed = True


@define
class _Sockets:
    """The kernel's table of TCP sockets (proc(5), net/tcp), which is long on a busy machine.

    It is read once for all who look at about the same time. It may be less old than each of them
    has waited.
    """

    _text: str = ""
    _read_at: float = 0.0

    def queues(self, local: Address, remote: Address) -> tuple[int, int]:
        """Return how many bytes a socket has not sent and not read; zeros if there is no socket."""
        now = time.monotonic()
        if now - self._read_at > LOOK_SECONDS / 2:
            self._text, self._read_at = Path("/proc/net/tcp").read_text(), now
        place = f"{_shown(local)} {_shown(remote)} "
        _, _, found = self._text.partition(place)
        if not found:
            return 0, 0
        unsent, _, unread = found.split(" ", 2)[1].partition(":")
        return int(unsent, 16), int(unread, 16)


def _shown(address: Address) -> str:
    host, port = address[:2]
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"


_sockets: Final = _Sockets()


class WireServer:
    """Listens on a loopback port; subclasses answer in `respond`."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
        name: str | None = None,
        port: int = 0,
    ) -> None:
        self._tls = tls
        self._address = address
        self._wanted_port = port
        self._name = name or address
        self._server: asyncio.Server | None = None
        self._connections = ServedConnections()
        self._is_closed = False
        self.requests: list[RecordedRequest] = []
        self.connections_made = 0
        self.written_bytes = 0  # heads and bodies, of requests that are answered
        self.answered = 0  # requests whose answer is written, or was not read to its end

    async def __aenter__(self) -> Self:
        """Listen."""
        self._is_closed = False
        self._server = await asyncio.start_server(
            self._accept,
            self._address,
            self._wanted_port,
            ssl=self._tls,
            limit=MAX_REQUEST_HEAD_BYTES,
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening and drop every connection."""
        assert self._server is not None
        self._server.close()
        self._is_closed = True
        await self._connections.end()

    @property
    def open_connections(self) -> int:
        """How many connections are served now."""
        return len(self._connections)

    @property
    def authority(self) -> str:
        """`name:port`."""
        return f"{self._name}:{self.port}"

    @property
    def origin(self) -> str:
        """`scheme://name:port`."""
        return f"{'https' if self._tls else 'http'}://{self.authority}"

    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        """Answer one request."""
        raise NotImplementedError

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_closed:  # it came at the moment of the close
            writer.transport.abort()
            return
        self.connections_made += 1
        self._connections.begin(self._serve(reader, writer), lambda: _drop(writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        # The client under test may leave at any moment: that is no failure of the server.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while not wire.is_closed:
                first = await reader.readexactly(1)
                if first == TLS_HANDSHAKE:  # to a plain server: answered in plain, as by nginx
                    await wire.head(400, (("Content-Length", "0"),))
                    wire.close()
                    return
                request = _parse(first + await reader.readuntil(b"\r\n\r\n"))
                length = int(request.header("Content-Length") or 0)
                request = evolve(request, body=await reader.readexactly(length))
                self.requests.append(request)
                before = wire.written_bytes
                try:
                    await self.respond(request, wire)
                finally:
                    self.answered += 1
                    self.written_bytes += wire.written_bytes - before


def _drop(writer: asyncio.StreamWriter) -> None:
    """End a connection that nobody closed, which would wait to send its rest."""
    if not writer.transport.is_closing():
        writer.transport.abort()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(MAX_REQUEST_HEAD_BYTES):
            writer.write(piece)
            await writer.drain()


def _parse(head: bytes) -> RecordedRequest:
    request_line, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    method, target, _ = request_line.split(" ")
    headers = tuple(
        (name, value.strip()) for name, _, value in (line.partition(":") for line in lines if line)
    )
    return RecordedRequest(method, target, headers)
