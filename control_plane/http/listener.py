"""The listening socket: it accepts connections, does TLS handshakes, and cuts the slow ones.

A handshake uses the newest TLS context, so that a reload is one assignment.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

from attrs import define, field

from control_plane.http.http_connection import HttpConnection
from control_plane.http.open_connections import OpenConnection, OpenConnections
from shared.accept_loop import AcceptLoop
from shared.site import site_of

HANDSHAKE_SECONDS: Final = 20.0
BACKLOG: Final = 128
LOOK_SECONDS: Final = 1.0  # for connections that are too slow; some 0.1 ms for all


@define(eq=False)
class Listener:
    """The listening socket, and what answers on it; without `tls`, in plain HTTP."""

    _answering: Callable[[OpenConnection], HttpConnection]
    _socket: socket.socket
    _connections: OpenConnections
    _tls: ssl.SSLContext | None
    _look: asyncio.TimerHandle | None = field(default=None, init=False)
    _accepting: AcceptLoop = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin without connections."""
        self._accepting = AcceptLoop(self._socket, self._take)

    def start(self) -> None:
        """Take connections from now on."""
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        self._accepting.start()
        self._look_soon()

    async def present(self, tls: ssl.SSLContext) -> None:
        """Show this certificate in handshakes that begin from now on; open connections go on."""
        self._tls = tls

    def stop(self) -> None:
        """Take no more connections, and give up handshakes that have begun."""
        self._accepting.stop()
        if self._look is not None:
            self._look.cancel()
        for each in list(self._connections):
            if each.transport is None:
                each.cut()

    def _take(self, accepted: socket.socket, peer: str) -> None:
        loop = asyncio.get_running_loop()
        own = self._connections.admit(site_of(peer), loop.time())
        if own is None:
            accepted.close()
            return
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
            return  # no TLS, or not in time: `ssl.SSLError` and `TimeoutError` are among them

    def _has_begun(self, accepted: socket.socket, own: OpenConnection) -> None:
        """Free the place if the handshake failed or was given up."""
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
