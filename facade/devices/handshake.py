"""The server's side of a TLS handshake, on a socket that does not block."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from attrs import define, field
from OpenSSL import SSL

from facade.devices.handshake_end import (
    LEFT,
    LEFT_SILENTLY,
    Ending,
    ending_of_certificate,
    ending_of_tls,
)
from facade.devices.tls import count_steps, notes_of
from facade.errors import FacadeError

# What OpenSSL's state machine is in until a ClientHello has come (statem.c).
_NOTHING_HEARD: Final = b"before SSL initialization"


class HandshakeFailedError(FacadeError):
    """The handshake failed. The message says why, and quotes nothing of what the device sent.

    `connection` has what OpenSSL has built of the presented chain.
    """

    def __init__(self, ending: Ending, connection: SSL.Connection) -> None:
        """Keep the reason, and the connection that failed."""
        super().__init__(ending.words)
        self.ending = ending
        self.connection = connection


async def shake_hands(
    accepted: socket.socket,
    context: SSL.Context,
    note_state: Callable[[bytes], None] = lambda _state: None,
) -> SSL.Connection:
    """Return the finished connection; raise `HandshakeFailedError`. The socket stays open.

    `note_state` is told OpenSSL's state whenever it waits for the device. The loop goes on watching
    the socket of a finished handshake, for the `DeviceTransport` that takes it over at once.
    """
    connection = SSL.Connection(context, accepted)
    connection.set_accept_state()
    readable = _Readable(accepted)
    is_heard = is_done = False
    try:
        while not is_done:
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                state = connection.get_state_string()
                note_state(state)
                is_heard = state != _NOTHING_HEARD
                await readable.wait()
            except SSL.WantWriteError:
                readable.stop()
                await _writable(accepted)
            except SSL.Error as error:
                ending = _ending(error, connection, is_heard=is_heard)
                raise HandshakeFailedError(ending, connection) from error
            else:
                is_done = True
                count_steps(connection)
    finally:
        if not is_done:
            readable.stop()
    return connection


def _ending(error: SSL.Error, connection: SSL.Connection, *, is_heard: bool) -> Ending:
    if isinstance(error, SSL.ZeroReturnError | SSL.SysCallError):
        return LEFT if is_heard else LEFT_SILENTLY
    refused = notes_of(connection).certificate_error
    return ending_of_certificate(*refused) if refused else ending_of_tls(*error.args[:1])


@define(eq=False)
class _Readable:
    """Waits until a socket can be read, and again. The loop is told once, not for each wait.

    To tell it and take that back for each of a handshake's two waits, and for the connection after
    it, took a twentieth of a device's session (docs/decisions/devices.md).
    """

    _socket: socket.socket
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _awaited: asyncio.Future[None] | None = field(default=None, init=False)
    _is_watched: bool = field(default=False, init=False)

    async def wait(self) -> None:
        self._awaited = self._loop.create_future()
        if not self._is_watched:
            self._is_watched = True
            self._loop.add_reader(self._socket, self._tell)
        await self._awaited

    def stop(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self._socket)

    def _tell(self) -> None:
        if self._awaited is not None:
            _set(self._awaited)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _writable(awaited: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(awaited, _set, ready)
    try:
        await ready
    finally:
        loop.remove_writer(awaited)
