"""Live streams of many devices, and the moment at which each device learns of its end.

The kernel of the device says it, whatever the device does: one that reads, and one that stopped
reading with its buffers full. asyncio would notice the second only when it reads on.
"""

import asyncio
import contextlib
import select
import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Final, Self

from attrs import define, field, frozen

from tests.support.device_stream import READ_BYTES
from tests.support.eventually import eventually
from tests.support.facade_process import Device

SMALL_RECEIVE_BUFFER_BYTES: Final = 4096
HEAD_SECONDS: Final = 60.0  # hundreds of handshakes on a busy machine
_POLL_SECONDS: Final = 0.1  # how soon the watching thread sees that it is to end
_EVENTS: Final = select.EPOLLRDHUP  # errors and resets are always told


@frozen
class End:
    """When a device's kernel learnt of the end, and whether it said to us that it was a reset.

    It says so once: to whoever reads first, the device or the watch.
    """

    at: float  # of the monotonic clock
    was_reset: bool


@define
class EndWatch:
    """Tells when the peer of a socket reset or closed it; a thread of its own."""

    ended: dict[int, End] = field(factory=dict, init=False)  # by file descriptor
    _epoll: select.epoll = field(factory=select.epoll, init=False)
    _stopping: threading.Event = field(factory=threading.Event, init=False)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._epoll.close()

    def add(self, watched: socket.socket) -> None:
        """Watch a socket."""
        self._epoll.register(watched.fileno(), _EVENTS)

    async def end_of(self, stream: "LiveStream", seconds: float) -> End:
        """Return how a stream ended; raise `AssertionError` where it goes on for so long."""
        number = stream.watched.fileno()
        await eventually(lambda: number in self.ended, seconds)
        return self.ended[number]

    def _watch(self) -> None:
        while not self._stopping.is_set():
            for number, events in self._epoll.poll(_POLL_SECONDS):
                self.ended[number] = End(time.monotonic(), bool(events & select.EPOLLERR))
                self._epoll.unregister(number)


@define
class LiveStream:
    """A device's stream: read all the time, or not at all."""

    device: Device
    identity: str
    watched: socket.socket
    received: int = 0
    read_a_reset: bool = False

    async def keep_reading(self, reader: asyncio.StreamReader) -> None:
        """Count what comes until it ends."""
        try:
            while chunk := await reader.read(READ_BYTES):
                self.received += len(chunk)
        except ConnectionResetError:
            self.read_a_reset = True


@contextlib.asynccontextmanager
async def live_stream(
    watch: EndWatch, device: Device, identity: str, path: str, *, reads: bool
) -> AsyncIterator[LiveStream]:
    """Ask for a path; give the stream once its headers are there, already watched."""
    raw = socket.socket()
    raw.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    if not reads:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_RECEIVE_BUFFER_BYTES)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", device.facade.port))
    stream = LiveStream(device, identity, raw.dup())
    reader, writer = await asyncio.open_connection(
        sock=raw, ssl=device.tls(), server_hostname="localhost"
    )
    reading: asyncio.Task[None] | None = None
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        watch.add(stream.watched)
        if reads:
            reading = asyncio.create_task(stream.keep_reading(reader))
        yield stream
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])
        writer.transport.abort()
        stream.watched.close()
        await asyncio.sleep(0)  # the loop lets go of an aborted transport in its next round
