"""The end of a socket whose handshake was refused: the device can read why before it is closed.

OpenSSL has given the kernel an alert ("certificate expired"). In TLS 1.3 the device believes by
then that the handshake is over, and sends its request. If a socket is closed while something is
unread, or if something comes afterwards, it is reset, and most clients then never read the alert:
curl lost it in 16 of 20 tries. So we end only our side, and drop what the device still sends until
it ends its own.
"""

import asyncio
import contextlib
import socket
from typing import Final

# After the alert: a round trip over a slow radio link, and the request that is under way.
FAREWELL_SECONDS: Final = 2.0
# The rest of the device's handshake and its first request. Who sends more may be reset.
FAREWELL_BYTES: Final = 64 * 1024

_READ_BYTES: Final = 16 * 1024


async def say_farewell(accepted: socket.socket, seconds: float = FAREWELL_SECONDS) -> None:
    """Close the socket once the device has ended its side, or a bound is reached."""
    with accepted, contextlib.suppress(OSError, TimeoutError):
        accepted.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(seconds):
            await _throw_away(accepted)


async def _throw_away(accepted: socket.socket) -> None:
    loop, left = asyncio.get_running_loop(), FAREWELL_BYTES
    while left > 0:
        received = len(await loop.sock_recv(accepted, min(left, _READ_BYTES)))
        if not received:
            return
        left -= received
