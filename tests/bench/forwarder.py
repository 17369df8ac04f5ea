"""The process of a `Link`: `python -m tests.bench.forwarder PORT TO_PORT STATE`."""

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import uvloop
from attrs import define, field

from tests.bench.link import (
    CARRIED_AT,
    DELAY_AT,
    IN_ALL_AT,
    MICROSECONDS,
    PER_CONNECTION_AT,
    UNLIMITED,
    LinkState,
)

PIECE_BYTES = 64 * 1024
# Of each socket. What waits in it was carried, and its reader may be gone: it is to be little.
BUFFER_BYTES = 128 * 1024
BACKLOG = 1024
LATE_SECONDS = 0.05  # what was not carried in so short a time is carried afterwards


@define
class Pace:
    """The rate of a connection, or of all together."""

    _clock: Callable[[], float] = time.monotonic
    _free_at: float = field(default=0.0, init=False)

    def wait_for(self, count: int, per_second: int) -> float:
        """Return in how many seconds so many bytes have passed."""
        if per_second == UNLIMITED:
            return 0.0
        now = self._clock()
        self._free_at = max(self._free_at, now - LATE_SECONDS) + count / per_second
        return self._free_at - now


@define
class Forwarder:
    """Forwards each connection to the other port."""

    to_port: int
    state: LinkState
    in_all: Pace

    async def serve(self, port: int) -> None:
        """Accept until the process is ended."""
        loop = asyncio.get_running_loop()
        listening = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        listening.settimeout(0)
        tasks = set[asyncio.Task[None]]()
        while True:
            accepted, _ = await loop.sock_accept(listening)
            task = asyncio.create_task(self._forward(accepted))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _forward(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with accepted, socket.socket() as onward:
            for each in (accepted, onward):
                each.settimeout(0)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(onward, ("127.0.0.1", self.to_port))
            ways = (self._ask(accepted, onward), self._answer(onward, accepted))
            tasks = [asyncio.create_task(way) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, reader: socket.socket, writer: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while piece := await loop.sock_recv(reader, PIECE_BYTES):
            if delay := self.state.read(DELAY_AT):
                await asyncio.sleep(delay / MICROSECONDS)
            await loop.sock_sendall(writer, piece)

    async def _answer(self, reader: socket.socket, writer: socket.socket) -> None:
        loop, own = asyncio.get_running_loop(), Pace()
        while piece := await loop.sock_recv(reader, PIECE_BYTES):
            wait = max(
                own.wait_for(len(piece), self.state.read(PER_CONNECTION_AT)),
                self.in_all.wait_for(len(piece), self.state.read(IN_ALL_AT)),
            )
            if wait > 0:
                await asyncio.sleep(wait)
            await loop.sock_sendall(writer, piece)
            self.state.write(CARRIED_AT, self.state.read(CARRIED_AT) + len(piece))


def main(port: int, to_port: int, state: Path) -> None:
    """Forward until the process is ended."""
    uvloop.run(Forwarder(to_port, LinkState.open(state), Pace()).serve(port))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
