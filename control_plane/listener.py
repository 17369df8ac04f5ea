"""The listening socket: accepts, has TLS shake hands, and cuts who is too slow.

Accepting is our own loop: asyncio's servers take every connection that comes. A handshake takes the
newest TLS context, so that a reload is one assignment.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

from attrs import define, field

from control_plane.http_connection import HttpConnection
from control_plane.open_connections import OpenConnection, OpenConnections
from shared.site import site_of
from shared.structured_log import get_logger

HANDSHAKE_SECONDS: Final = 20.0
BACKLOG: Final = 128
ACCEPTS_AT_ONCE: Final = 32  # a turn of the loop
LOOK_SECONDS: Final = 1.0  # at who is too slow; some 0.1 ms for all
NO_DESCRIPTOR_PAUSE_SECONDS: Final = 1.0  # as asyncio's own servers

_log = get_logger(__name__)


@define(eq=False)
class Listener:
    """The listening socket, and who answers on it: over TLS, or not where `tls` is none."""

    _answering: Callable[[OpenConnection], HttpConnection]
    _socket: socket.socket
    _connections: OpenConnections
    _tls: ssl.SSLContext | None
    _look: asyncio.TimerHandle | None = field(default=None, init=False)
    _pause: asyncio.TimerHandle | None = field(default=None, init=False)

    def start(self) -> None:
        """Take connections from now on."""
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        self._accept_from_now_on()
        self._look_soon()

    async def present(self, tls: ssl.SSLContext) -> None:
        """Show this certificate in handshakes that begin from now on; what is open goes on."""
        self._tls = tls

    def stop(self) -> None:
        """Take no more connections, and give up handshakes that have begun."""
        asyncio.get_running_loop().remove_reader(self._socket)
        for timer in (self._look, self._pause):
            if timer is not None:
                timer.cancel()
        for each in list(self._connections):
            if each.transport is None:
                each.cut()

    def _accept_from_now_on(self) -> None:
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                accepted, address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor or no memory for one more
                _log.error("cannot accept", reason=type(error).__name__)
                self._pause_accepting()
                return
            self._take(accepted, site_of(address[0]))

    def _pause_accepting(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._pause = loop.call_later(NO_DESCRIPTOR_PAUSE_SECONDS, self._accept_from_now_on)

    def _take(self, accepted: socket.socket, site: str) -> None:
        loop = asyncio.get_running_loop()
        own = self._connections.admit(site, loop.time())
        if own is None:
            accepted.close()
            return
        accepted.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        own.handshake = loop.create_task(self._begin(accepted, own))
        own.handshake.add_done_callback(lambda _: self._has_begun(accepted, own))

    async def _begin(self, accepted: socket.socket, own: OpenConnection) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._answering(own),
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self._tls else None,
            )
        except OSError:
            return  # no TLS, or none in time: `ssl.SSLError` and `TimeoutError` are among them

    def _has_begun(self, accepted: socket.socket, own: OpenConnection) -> None:
        """Give the place free if the handshake failed or was given up."""
        own.handshake = None
        if own.transport is None:
            self._connections.release(own)
            accepted.close()

    def _look_soon(self) -> None:
        self._look = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._cut_too_slow)

    def _cut_too_slow(self) -> None:
        self._look_soon()
        for each in self._connections.too_slow(asyncio.get_running_loop().time()):
            each.cut()
