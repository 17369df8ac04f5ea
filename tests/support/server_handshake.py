"""The facade's side of one handshake, for a test that waits for its end."""

import asyncio
import socket

from OpenSSL import SSL

from facade.devices.handshake import Handshake
from facade.devices.handshake_end import Ending

SITE = "192.0.2.1"


class HandshakeRefusedError(Exception):
    """It came to nothing; the message says why, in the words of its end."""


async def shake_hands(accepted: socket.socket, context: SSL.Context) -> SSL.Connection:
    """Return the finished connection; raise `HandshakeRefusedError`. The socket stays open."""
    ended = asyncio.get_running_loop().create_future()

    def on_end(_: Handshake, ending: Ending | None) -> None:
        ended.set_result(ending)

    handshake = Handshake(accepted, SITE, SITE, context, on_end)
    handshake.begin()
    ending = await ended
    if ending is not None:
        raise HandshakeRefusedError(ending.words)
    return handshake.connection
