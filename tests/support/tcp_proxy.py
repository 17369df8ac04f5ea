"""A TCP proxy on loopback that breaks links as networks do.

    with TcpProxy(postgres.port) as proxy:
        ...                      # everything passes
        proxy.forget()           # as a firewall that lost its state: open links go silent
        proxy.hold()             # as a partition: nothing passes, nothing is lost, nobody is told
        proxy.release()
        proxy.reset()            # every open link is reset
        proxy.bytes_per_second = 1

It runs in a thread, so that a test that blocks (it starts a facade, say) does not stop it.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Final, Self

from attrs import define, field

from deploy.dev.processes import free_port
from tests.support.served_connections import ServedConnections

READ_BYTES: Final = 64 * 1024
PIECES_PER_SECOND: Final = 20  # of a slow link
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time: closing sends RST

Filter = Callable[[bytes], bytes]


@define(eq=False)
class _Link:
    """A client's connection and ours to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    forgotten: bool = False

    def reset(self) -> None:
        """End both sides with RST."""
        for writer in (self.client, self.server):
            made = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # closed already
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()


@define(eq=False)
class TcpProxy:
    """See the module's docstring. `make_filter`: what a link's bytes to the client go through.

    `make_client_filter`: what a link's bytes to the server go through.
    """

    server_port: int
    make_filter: Callable[[], Filter] = lambda: bytes
    make_client_filter: Callable[[], Filter] = lambda: bytes
    bytes_per_second: float | None = None  # of each link, towards the client
    piece_bytes: int | None = None  # what a slow link passes on at once; else a twentieth second's
    port: int = field(factory=free_port, init=False)
    accepted: int = field(default=0, init=False)
    bytes_answered: int = field(default=0, init=False)  # towards clients, on all links
    _links: set[_Link] = field(factory=set, init=False)
    _connections: ServedConnections = field(factory=ServedConnections, init=False)
    _server: asyncio.Server = field(init=False)
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.new_event_loop, init=False)
    _thread: threading.Thread = field(init=False)
    _open: asyncio.Event = field(factory=asyncio.Event, init=False)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread = threading.Thread(target=self._run, name="tcp-proxy", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(self, *error: object) -> None:
        """Reset every link and stop listening."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def hold(self) -> None:
        """Let nothing pass from now on, not on new links either."""
        self._do(self._open.clear)

    def release(self) -> None:
        """Let pass what was held, and what comes."""
        self._do(self._open.set)

    def forget(self) -> None:
        """Let no byte of the links that are open pass any more, and tell nobody."""
        self._to_all(lambda link: setattr(link, "forgotten", True))

    def reset(self) -> None:
        """Reset the links that are open."""
        self._to_all(_Link.reset)

    def _to_all(self, act: Callable[[_Link], None]) -> None:
        def to_all() -> None:
            for link in list(self._links):
                act(link)

        self._do(to_all)

    def _do(self, act: Callable[[], None]) -> None:
        """Act in the proxy's thread; return when that is done."""

        async def done() -> None:
            act()

        asyncio.run_coroutine_threadsafe(done(), self._loop).result()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()

    async def _listen(self) -> None:
        self._open.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _close(self) -> None:
        self._server.close()
        for link in list(self._links):
            link.reset()
        await self._connections.end()

    def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._connections.begin(self._relay(reader, client), client.transport.abort)

    async def _relay(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            await self._open.wait()
            answers, server = await asyncio.open_connection("127.0.0.1", self.server_port)
        except (OSError, asyncio.CancelledError):
            return
        link = _Link(client, server)
        self._links.add(link)
        pumps = [
            asyncio.create_task(
                self._pump(link, reader, server, self.make_client_filter(), is_answer=False)
            ),
            asyncio.create_task(
                self._pump(link, answers, client, self.make_filter(), is_answer=True)
            ),
        ]
        try:
            await asyncio.wait(pumps)
        finally:
            self._links.discard(link)
            for pump in pumps:
                pump.cancel()
            for writer in (client, server):
                writer.transport.abort()

    async def _pump(
        self,
        link: _Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pass_on: Filter,
        *,
        is_answer: bool,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(self._read_bytes(is_answer=is_answer)):
                await self._open.wait()
                self.bytes_answered += len(chunk) if is_answer else 0
                if is_answer and self.bytes_per_second:
                    await asyncio.sleep(len(chunk) / self.bytes_per_second)
                if not link.forgotten and (passed := pass_on(chunk)):
                    writer.write(passed)
                    await writer.drain()
            if not link.forgotten:
                writer.write_eof()
                return
        if not link.forgotten:
            link.reset()

    def _read_bytes(self, *, is_answer: bool) -> int:
        if not is_answer or not self.bytes_per_second:
            return READ_BYTES
        return self.piece_bytes or max(1, int(self.bytes_per_second / PIECES_PER_SECOND))


def without_notifications() -> Filter:
    """Return a filter that takes NotificationResponse out of what a PostgreSQL server sends.

    As on a transaction pooler, where LISTEN is accepted and nothing is ever heard.
    """
    pending = bytearray()
    is_first = True

    def pass_on(chunk: bytes) -> bytes:
        nonlocal is_first
        pending.extend(chunk)
        passed = bytearray()
        if is_first:  # "N", alone: no TLS here (PostgreSQL's protocol 3.0, SSLRequest)
            is_first = False
            if pending == b"N":
                passed += pending
                pending.clear()
        while len(pending) >= 5 and len(pending) > (length := int.from_bytes(pending[1:5])):
            message = bytes(pending[: length + 1])
            del pending[: length + 1]
            if message[:1] != b"A":
                passed += message
        return bytes(passed)

    return pass_on
