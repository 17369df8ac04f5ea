"""The server's side of a TLS handshake, on a socket that does not block."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from OpenSSL import SSL

from facade.devices.handshake_end import (
    LEFT,
    LEFT_SILENTLY,
    Ending,
    ending_of_certificate,
    ending_of_tls,
)
from facade.devices.tls import notes_of
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

    `note_state` is told OpenSSL's state whenever it waits for the device.
    """
    connection = SSL.Connection(context, accepted)
    connection.set_accept_state()
    loop = asyncio.get_running_loop()
    is_heard = False
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            state = connection.get_state_string()
            note_state(state)
            is_heard = state != _NOTHING_HEARD
            await _ready(accepted, loop.add_reader, loop.remove_reader)
        except SSL.WantWriteError:
            await _ready(accepted, loop.add_writer, loop.remove_writer)
        except SSL.Error as error:
            ending = _ending(error, connection, is_heard=is_heard)
            raise HandshakeFailedError(ending, connection) from error
        else:
            return connection


def _ending(error: SSL.Error, connection: SSL.Connection, *, is_heard: bool) -> Ending:
    if isinstance(error, SSL.ZeroReturnError | SSL.SysCallError):
        return LEFT if is_heard else LEFT_SILENTLY
    refused = notes_of(connection).certificate_error
    return ending_of_certificate(*refused) if refused else ending_of_tls(*error.args[:1])


async def _ready(
    awaited: socket.socket, add: Callable[..., None], remove: Callable[[socket.socket], bool]
) -> None:
    ready = asyncio.get_running_loop().create_future()
    add(awaited, _set, ready)
    try:
        await ready
    finally:
        remove(awaited)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
