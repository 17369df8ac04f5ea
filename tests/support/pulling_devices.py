"""Devices that pull one blob again and again, and try again only if a connection breaks.

    async with pulling(port, devices, path, digest) as load:
        ...                        # stop, start or kill facades
        await load.more(8)         # so many further pulls have ended
    assert load.broken == ...

A client goes on at the byte that it has reached, as real ones do. It takes any answer but the bytes
for final, 503 too, and fails the test. Every other one keeps its connection for the next pull; each
new connection shows the next device's certificate.
"""

import asyncio
import contextlib
import hashlib
import itertools
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from attrs import define, field

from tests.support.device_stream import READ_BYTES, STREAM_BUFFER_BYTES, DeviceStream, read_head
from tests.support.eventually import eventually

PAUSE_SECONDS: Final = 0.1  # before the next attempt; containerd and kubelet wait longer
PULL_SECONDS: Final = 120.0  # on a loaded machine


@define
class PullingDevices:
    """What all devices together have seen so far."""

    _port: int
    _path: str
    _digest: str
    pulls: int = 0  # that arrived whole and right
    broken: int = 0  # connections that were refused or broke, and were tried again
    sent_away: int = 0  # kept connections of which the facade said that the answer was the last one
    has_ended: bool = False

    async def pull_on(self, tls: Iterator[ssl.SSLContext], *, keeps: bool) -> None:
        """Pull until told to end. A pull that does not arrive in time fails the test."""
        device = _Client(self._port, tls, keeps=keeps)
        try:
            while not self.has_ended:
                async with asyncio.timeout(PULL_SECONDS):
                    await self._pull(device)
                self.pulls += 1
        finally:
            device.leave()

    async def _pull(self, device: "_Client") -> None:
        received = bytearray()
        while True:
            try:
                stream = await device.ask(self._path, since=len(received))
                assert stream.status == (206 if received else 200), await stream.body()
                while not stream.is_whole:
                    received += await stream.take(READ_BYTES)
            except (OSError, asyncio.IncompleteReadError):
                self.broken += 1
                device.leave()
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if device.is_told_to_leave(stream):
                self.sent_away += 1
            break
        assert f"sha256:{hashlib.sha256(received).hexdigest()}" == self._digest

    async def more(self, pulls: int) -> None:
        """Return when so many more have ended."""
        wanted = self.pulls + pulls
        await eventually(lambda: self.pulls >= wanted, PULL_SECONDS)


@define
class _Client:
    """A client, and its connection if it has one."""

    _port: int
    _tls: Iterator[ssl.SSLContext] = field(repr=False)  # of each connection
    _keeps: bool = field(kw_only=True)
    _open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(
        default=None, init=False
    )

    async def ask(self, path: str, *, since: int) -> DeviceStream:
        """Ask for what begins there; return the answer once its headers are there."""
        if self._open is None:
            self._open = await asyncio.open_connection(
                *("127.0.0.1", self._port),
                ssl=next(self._tls),
                server_hostname="localhost",
                limit=STREAM_BUFFER_BYTES,
            )
        reader, writer = self._open
        lines = [f"GET {path} HTTP/1.1", "Host: localhost"]
        lines += [f"Range: bytes={since}-"] if since else []
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return await read_head(reader)

    def is_told_to_leave(self, answered: DeviceStream) -> bool:
        """Leave if the facade wants it, or if it never stays; tell whether the facade wanted it."""
        is_last = answered.headers.get("connection") == "close"
        if is_last or not self._keeps:
            self.leave()
        return is_last and self._keeps

    def leave(self) -> None:
        """End the connection."""
        if self._open is not None:
            self._open[1].transport.abort()
            self._open = None


@contextlib.asynccontextmanager
async def pulling(
    port: int, devices: Sequence[ssl.SSLContext], path: str, digest: str
) -> AsyncIterator[PullingDevices]:
    """Every device pulls; at the end, one more pull of each is waited for."""
    load = PullingDevices(port, path, digest)
    async with asyncio.TaskGroup() as clients:
        for number in range(len(devices)):
            tls = itertools.cycle([*devices[number:], *devices[:number]])
            clients.create_task(load.pull_on(tls, keeps=number % 2 == 0))
        await load.more(len(devices))
        yield load
        await load.more(len(devices))
        load.has_ended = True
