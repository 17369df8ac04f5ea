"""The server's side of a TLS handshake, on a socket that does not block.

    its socket can be read, or written to
       |
    OpenSSL goes on ---- it wants more ----> the loop tells again
       |         |
    finished   failed          its time is over, or it is given up
       |         |                                |
       '---------'------------- ended ------------'

There is no task for it: to begin one, wake it twice and tell whoever waits for it took a twentieth
of a device's session (docs/decisions/devices.md).
"""

import asyncio
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from attrs import define, field
from OpenSSL import SSL

from facade.devices.handshake_end import (
    GIVEN_UP,
    LEFT,
    LEFT_SILENTLY,
    TIMED_OUT,
    Ending,
    ending_of_certificate,
    ending_of_tls,
)
from facade.devices.handshake_time import HandshakeTime
from facade.devices.tls import count_steps, notes_of
from facade.devices.unread import has_unread

# Without a message of the device: longer than a slow radio link takes to lose and repeat a packet,
# and than a busy device takes to sign.
STALL_SECONDS: Final = 3.0

# What OpenSSL's state machine is in until a ClientHello has come (statem.c).
_NOTHING_HEARD: Final = b"before SSL initialization"


@define(eq=False)
class Handshake:
    """A handshake with one device. `site` is who counts as its peer.

    `on_end` is told once how it ended, with None if it was finished. The socket stays open. That of
    a finished one is still watched by the loop, for the `DeviceTransport` that takes it over at
    once. `connection` has what OpenSSL has built of the presented chain, if it failed, too.
    """

    socket: socket.socket
    peer: str
    site: str
    context: SSL.Context
    _on_end: Callable[["Handshake", Ending | None], None]
    _clock: Callable[[], float] = time.monotonic
    connection: SSL.Connection = field(init=False)
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _state: bytes = field(default=_NOTHING_HEARD, init=False)  # OpenSSL's
    _since: float = field(init=False)  # the clock's seconds
    _time: HandshakeTime | None = field(default=None, init=False)
    _is_writing: bool = field(default=False, init=False)  # it waits until the kernel takes more

    def __attrs_post_init__(self) -> None:
        """Have OpenSSL wait for the device's first message."""
        self._since = self._clock()
        self.connection = SSL.Connection(self.context, self.socket)
        self.connection.set_accept_state()

    def begin(self) -> None:
        """Shake hands from now on."""
        self._time = HandshakeTime(self.socket, partial(self._end, TIMED_OUT))
        self._loop.add_reader(self.socket, self._go_on)

    def give_up(self) -> None:
        """End it."""
        self._end(GIVEN_UP)

    def note(self, state: bytes) -> None:
        """Note how far it has come."""
        if state != self._state:
            self._state, self._since = state, self._clock()

    @property
    def is_stalled(self) -> bool:
        """Whether the device sends nothing that takes it further. Unread bytes count as sent."""
        return self._clock() - self._since >= STALL_SECONDS and not has_unread(self.socket)

    def _go_on(self) -> None:
        try:
            self.connection.do_handshake()
        except SSL.WantReadError:
            self.note(self.connection.get_state_string())
            if self._is_writing:
                self._write(is_wanted=False)
        except SSL.WantWriteError:
            self._write(is_wanted=True)
        except SSL.Error as error:
            self._end(self._ending_of(error))
        else:
            count_steps(self.connection)
            self._end(None)

    def _write(self, *, is_wanted: bool) -> None:
        """Go on when the kernel takes more, or again when the device sends something."""
        self._stop_watching()
        self._is_writing = is_wanted
        watch = self._loop.add_writer if is_wanted else self._loop.add_reader
        watch(self.socket, self._go_on)

    def _stop_watching(self) -> None:
        if self._is_writing:
            self._loop.remove_writer(self.socket)
        else:
            self._loop.remove_reader(self.socket)

    def _end(self, ending: Ending | None) -> None:
        if self._time is not None:
            self._time.stop()
            self._time = None  # the two would hold each other
        if ending is not None or self._is_writing:
            self._stop_watching()
        self._on_end(self, ending)

    def _ending_of(self, error: SSL.Error) -> Ending:
        if isinstance(error, SSL.ZeroReturnError | SSL.SysCallError):
            return LEFT_SILENTLY if self._state == _NOTHING_HEARD else LEFT
        refused = notes_of(self.connection).certificate_error
        return ending_of_certificate(*refused) if refused else ending_of_tls(*error.args[:1])
