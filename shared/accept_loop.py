"""Accepts connections on a listening socket, and waits while there is no place for one more.

asyncio's own servers take every connection that comes. Here a connection that finds no place waits
in the kernel's queue; its peer notices nothing but the time.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

from attrs import define, field

from shared.structured_log import get_logger

ACCEPTS_AT_ONCE: Final = 32  # a turn of the loop; each is some 30 microseconds
ACCEPTS_AT_END: Final = 4096  # Linux' longest queue, by default: net.core.somaxconn
FULL_PAUSE_SECONDS: Final = 0.1  # until it looks again for a place
OUT_OF_DESCRIPTORS_PAUSE_SECONDS: Final = 1.0  # as asyncio's own servers

_log = get_logger("shared.accept_loop")


@define(eq=False)
class AcceptLoop:
    """Accepts on a socket that does not block, from `start` to `stop`."""

    _socket: socket.socket
    _take: Callable[[socket.socket, str], None]  # an accepted socket, and its peer's address
    _has_place: Callable[[], bool] = lambda: True  # for one more; it may make one
    _pause: asyncio.TimerHandle | None = field(default=None, init=False)

    def start(self) -> None:
        """Accept from now on."""
        self._pause = None
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def stop(self) -> None:
        """Accept nobody any more. The socket stays open, and may be closed afterwards."""
        if self._pause is not None:
            self._pause.cancel()
        asyncio.get_running_loop().remove_reader(self._socket)

    def finish(self) -> None:
        """Take whom the kernel has let in already, as far as there is place, and nobody after.

        Who still waits in its queue when the socket is closed is reset.
        """
        self.stop()
        with contextlib.suppress(OSError):  # nobody waits, or there is no descriptor for one more
            for _ in range(ACCEPTS_AT_END):
                if not self._has_place():
                    return
                self._take_next()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            if not self._has_place():
                self._pause_for(FULL_PAUSE_SECONDS)
                return
            try:
                self._take_next()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor or no memory for one more
                _log.error("cannot accept", reason=type(error).__name__)
                self._pause_for(OUT_OF_DESCRIPTORS_PAUSE_SECONDS)
                return

    def _take_next(self) -> None:
        accepted, address = self._socket.accept()
        accepted.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        self._take(accepted, address[0])

    def _pause_for(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._pause = loop.call_later(seconds, self.start)
