"""Sends full packets as long as there is more to send, and the rest as soon as there is not.

A packet for each TLS record took a quarter of the CPU of a warm blob (docs/decisions/devices.md).
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

# After so many turns of the loop without a write, a packet is sent even if it is not full. A writer
# that goes on after a pause writes in the second turn.
QUIET_TURNS: Final = 2


class Cork:
    """`TCP_CORK` (tcp(7)) of one connection. `is_done`: nothing waits, and no writer is paused."""

    __slots__ = ("_connection", "_is_done", "_is_watched", "_loop", "_quiet_turns", "is_in")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: socket.socket,
        is_done: Callable[[], bool],
    ) -> None:
        """Hold nothing back yet."""
        self._loop, self._connection, self._is_done = loop, connection, is_done
        self.is_in = False  # whether packets that are not full are held back
        self._is_watched = False
        self._quiet_turns = 0  # turns since the last write

    def put_in(self) -> None:
        """Hold back a packet that is not full, until nothing was written for some turns."""
        if not self.is_in:
            self.is_in = True
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            self.watch()

    def note_write(self) -> None:
        """Count the turns again from zero."""
        self._quiet_turns = 0

    def watch(self) -> None:
        """Count turns from now on. Call it again whenever `is_done` becomes true."""
        if self.is_in and not self._is_watched:
            self._is_watched = True
            self._loop.call_soon(self._end_turn)

    def take_out(self) -> None:
        """Hold back nothing: for now, nothing follows what was written."""
        if self.is_in:
            self.is_in = False
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    def let_go(self) -> None:
        """Let go of the connection, which has ended: the two would hold each other."""
        self._is_done = _never

    def _end_turn(self) -> None:
        self._is_watched = False
        if not (self.is_in and self._is_done()):
            return
        if self._quiet_turns < QUIET_TURNS:
            self._quiet_turns += 1
            self.watch()
        else:
            self.take_out()


def _never() -> bool:
    return False
