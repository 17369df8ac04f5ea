"""A device that reads a blob as it likes, and knows how the answer ended.

    async with device_stream(port, tls, path) as stream:
        await stream.take(1000)          # or read nothing for a while
        assert await stream.end() is End.WHOLE

It takes constant memory: what is read is counted and hashed, and not kept.
"""

import asyncio
import contextlib
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from enum import Enum
from types import MappingProxyType

from attrs import define, field

READ_BYTES = 256 * 1024
STREAM_BUFFER_BYTES = 64 * 1024  # asyncio's own default; twice that is read ahead
END_SECONDS = 60.0  # for a loaded machine; an answer that hangs fails the test


class End(Enum):
    """How an answer ended."""

    WHOLE = "whole"  # as many bytes as Content-Length, or the last chunk of a chunked answer
    RESET = "reset"  # fewer, and the connection was reset
    CLOSED = "closed"  # fewer, and the connection was closed as after a whole answer


@define
class DeviceStream:
    """One answer while it is read."""

    _reader: asyncio.StreamReader = field(repr=False)
    status: int
    headers: Mapping[str, str]  # names in lower case
    received: int = 0
    _hasher: "hashlib._Hash" = field(factory=hashlib.sha256, repr=False)
    _chunk_left: int = 0  # of a chunked answer: bytes of the chunk that is being read
    _has_ended: bool = False  # its last chunk came

    @property
    def is_chunked(self) -> bool:
        """Whether the answer promises no length, and ends by itself."""
        return self.headers.get("transfer-encoding") == "chunked"

    @property
    def length(self) -> int:
        """The bytes that the answer promises."""
        return int(self.headers["content-length"])

    @property
    def is_whole(self) -> bool:
        """Whether all has come."""
        return self._has_ended if self.is_chunked else self.received == self.length

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of what was read."""
        return f"sha256:{self._hasher.hexdigest()}"

    async def take(self, count: int) -> bytes:
        """Return the next bytes, at most `count`; raise `ConnectionError` if it is cut.

        At the end of a chunked answer there are none.
        """
        try:
            left = await self._left()
            chunk = await self._reader.read(min(count, left))
        except ssl.SSLError as error:
            raise ConnectionResetError from error
        except asyncio.IncompleteReadError as error:
            raise ConnectionAbortedError from error
        if not chunk and left:
            raise ConnectionAbortedError
        self.received += len(chunk)
        self._chunk_left -= len(chunk)
        self._hasher.update(chunk)
        return chunk

    async def _left(self) -> int:
        """Return how many bytes may be read at once."""
        if not self.is_chunked:
            return self.length - self.received
        if not self._chunk_left:
            if self.received:
                await self._reader.readuntil(b"\r\n")  # behind the one before
            self._chunk_left = int(await self._reader.readuntil(b"\r\n"), 16)
            if not self._chunk_left:
                await self._reader.readuntil(b"\r\n")
                self._has_ended = True
        return self._chunk_left

    async def end(self, seconds: float = END_SECONDS) -> End:
        """Read to the end, however it ends."""
        async with asyncio.timeout(seconds):
            try:
                while not self.is_whole:
                    await self.take(READ_BYTES)
            except ConnectionResetError:
                return End.RESET
            except ConnectionAbortedError:
                return End.CLOSED
        return End.WHOLE

    async def body(self) -> bytes:
        """Return the whole of a small answer."""
        parts = []
        while not self.is_whole:
            parts.append(await self.take(READ_BYTES))
        return b"".join(parts)


@contextlib.asynccontextmanager
async def device_stream(
    port: int,
    tls: ssl.SSLContext,
    path: str,
    *,
    receive_buffer: int | None = None,
    request_headers: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[DeviceStream]:
    """Ask for a path on loopback; give the answer once its headers are there.

    `receive_buffer`: the bytes that the kernel keeps for a device which does not read.
    """
    raw = socket.socket()
    raw.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(
            sock=raw, ssl=tls, server_hostname="localhost", limit=STREAM_BUFFER_BYTES
        )
    except BaseException:  # also whoever waits no longer
        raw.close()
        raise
    try:
        lines = [f"GET {path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in request_headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        yield await read_head(reader)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)  # the loop lets go of an aborted transport in its next round


async def read_head(reader: asyncio.StreamReader) -> DeviceStream:
    """Return an answer once its headers are there."""
    async with asyncio.timeout(END_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return DeviceStream(reader, int(status_line.split(" ")[1]), headers)
