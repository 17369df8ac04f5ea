"""HTTP/1.1 byte for byte over mutual TLS: requests that no client library would send."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from attrs import field, frozen

from tests.support.facade_process import Device

ANSWER_SECONDS = 60.0  # the facade answers in milliseconds; this is for a loaded machine


@frozen
class RawAnswer:
    """One answer, read by its Content-Length."""

    version: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """Return the only value of a header, None if it is absent; two are an error."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def error(self) -> Mapping[str, Any]:
        """The only error of the OCI JSON body, whose shape is checked on the way."""
        document = orjson.loads(self.body)
        assert document.keys() == {"errors"}
        (error,) = document["errors"]
        assert error.keys() == {"code", "message", "detail"}
        assert error["detail"] == {"request_id": self.header("X-Request-Id")}
        return dict(error)


class RawConnection:
    """One connection of a device."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, content: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(content)
        await self._writer.drain()

    async def answer(self, *, to: str = "GET") -> RawAnswer:
        """Return the next answer; raise `ConnectionError` if it does not come whole."""
        async with asyncio.timeout(ANSWER_SECONDS):
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
                status_line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
                version, status, *_ = status_line.split(" ", 2)
                pairs = tuple(_header(line) for line in lines)
                lengths = [int(value) for name, value in pairs if name.lower() == "content-length"]
                expects_body = to != "HEAD" and int(status) not in {204, 304}
                body = await self._reader.readexactly(lengths[0]) if expects_body else b""
            except (asyncio.IncompleteReadError, ssl.SSLError) as error:
                raise ConnectionError("the connection ended within the answer") from error
        return RawAnswer(version, int(status), pairs, body)

    async def rest(self, *, seconds: float = ANSWER_SECONDS) -> bytes:
        """Return what comes until the connection ends; raise `TimeoutError` if it does not end."""
        received = bytearray()
        async with asyncio.timeout(seconds):
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while chunk := await self._reader.read(65536):
                    received += chunk
        return bytes(received)

    async def head(self) -> tuple[int, int]:
        """Return status and Content-Length of an answer whose body comes, or does not, later."""
        async with asyncio.timeout(ANSWER_SECONDS):
            lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        lengths = [line for line in lines if line.lower().startswith("content-length:")]
        return int(lines[0].split(" ")[1]), int(lengths[0].partition(":")[2])

    async def exactly(self, length: int) -> bytes:
        """Return a body of known length; raise `ConnectionError` if it does not come whole."""
        async with asyncio.timeout(ANSWER_SECONDS):
            try:
                return await self._reader.readexactly(length)
            except (asyncio.IncompleteReadError, ssl.SSLError) as error:
                raise ConnectionError("the connection ended within the body") from error

    async def until_reset(self) -> bytes:
        """Return what comes before a reset; raise `AssertionError` if the end is clean."""
        received = bytearray()
        async with asyncio.timeout(ANSWER_SECONDS):
            try:
                while chunk := await self._reader.read(65536):
                    received += chunk
            except ConnectionResetError:
                return bytes(received)
        raise AssertionError(f"the connection ended cleanly after {len(received)} bytes")


@contextlib.asynccontextmanager
async def raw_connection(
    device: Device, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawConnection]:
    """Open a connection with the device's certificate, or with another context."""
    reader, writer = await asyncio.open_connection(
        "localhost", device.facade.port, ssl=tls or device.tls()
    )
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # how it ended is known
            await writer.wait_closed()


async def ask(device: Device, request: bytes, *, to: str = "GET") -> RawAnswer:
    """Return the answer to a request on a connection of its own."""
    async with raw_connection(device) as connection:
        await connection.send(request)
        return await connection.answer(to=to)


def request_bytes(target: bytes, *, method: str = "GET", headers: bytes = b"") -> bytes:
    """Return a request for a raw target, with further header lines."""
    return b"%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (method.encode(), target, headers)


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()
