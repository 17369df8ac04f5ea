"""How long a handshake may take: what the facade itself is late with does not count.

A busy loop meets the end of a handshake's time before it has read what the device sent long ago. To
end it then would refuse a device that did its part, which comes again and finds a loop that is as
busy. So whoever has sent something that was not read yet is waited for, up to a bound.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from attrs import define, field

from facade.devices.tls import HANDSHAKE_TIMEOUT_SECONDS
from facade.devices.unread import has_unread

MOST_HANDSHAKE_SECONDS: Final = 60.0  # where the facade is late: by then devices have left
LOOK_AGAIN_SECONDS: Final = 1.0


@define(eq=False)
class HandshakeTime:
    """Tells once, by `on_over`, that the device's time for a handshake is over."""

    _socket: socket.socket
    _on_over: Callable[[], None]
    _seconds: float = HANDSHAKE_TIMEOUT_SECONDS
    _most_seconds: float = MOST_HANDSHAKE_SECONDS
    _look_again_seconds: float = LOOK_AGAIN_SECONDS
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _last: float = field(init=False)
    _timer: asyncio.TimerHandle = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin now."""
        self._last = self._loop.time() + self._most_seconds
        self._timer = self._loop.call_later(self._seconds, self._look)

    def stop(self) -> None:
        """Let go of it: the handshake has come to an end."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        if now < self._last and has_unread(self._socket):
            self._timer = self._loop.call_later(self._look_again_seconds, self._look)
        else:
            self._on_over()
