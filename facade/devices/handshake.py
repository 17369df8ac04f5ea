"""The server's side of a TLS handshake, on a socket that does not block."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from OpenSSL import SSL

_VERIFY_FAILED: Final = "certificate verify failed"  # OpenSSL's word for each way to do so


class HandshakeFailedError(Exception):
    """No connection came of it; the message says what kind of end it was, and quotes nothing."""

    @property
    def is_about_certificate(self) -> bool:
        """Whether the device presented a certificate that OpenSSL did not accept."""
        queue = self.__cause__.args[:1] if isinstance(self.__cause__, SSL.Error) else ()
        return any(_VERIFY_FAILED in error for errors in queue for error in errors)


async def shake_hands(accepted: socket.socket, context: SSL.Context) -> SSL.Connection:
    """Return the finished connection; raise `HandshakeFailedError`. The socket stays open."""
    connection = SSL.Connection(context, accepted)
    connection.set_accept_state()
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            await _ready(accepted, loop.add_reader, loop.remove_reader)
        except SSL.WantWriteError:
            await _ready(accepted, loop.add_writer, loop.remove_writer)
        except SSL.Error as error:  # the device's certificate, its versions, or it left
            raise HandshakeFailedError(type(error).__name__) from error
        else:
            return connection


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
