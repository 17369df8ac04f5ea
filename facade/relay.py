"""Streams verified pieces to a device, at the pace it can take, or aborts so that it shows.

A device that reads nothing is cut: `write()` waits for ever on a reader that stopped. Progress is
counted in bytes that left the send buffer, so a window of one byte is progress too, too little.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web
from attrs import define, field

from facade.device_connection import PullAbortedError, abort
from facade.held_back import WrongBytesError
from shared.structured_log import get_logger
from shared.upstream.errors import UpstreamError

PROGRESS_WINDOW_SECONDS: Final = 60.0
MIN_PROGRESS_BYTES: Final = 4 * 1024  # within the window; slower is no pull but a held connection
WRITE_BUFFER_BYTES: Final = 64 * 1024  # per connection; with the kernel's buffer it feeds 1 Gbit/s

_log = get_logger("facade.relay")


async def relay(
    request: web.BaseRequest, response: web.StreamResponse, pieces: AsyncIterator[bytes]
) -> None:
    """Send the pieces as the body of the response.

    Errors before the first piece are raised as they are, for nothing was sent. After it, the
    connection is reset and `PullAbortedError` raised.
    """
    first = await anext(pieces)
    watch = ProgressWatch(request)
    try:
        await response.prepare(request)
        _bound_write_buffer(request)
        await response.write(first)
        watch.sent += len(first)
        async for piece in pieces:
            await response.write(piece)
            watch.sent += len(piece)
        await response.write_eof()
    except (UpstreamError, WrongBytesError) as error:
        abort(request.transport)
        message = f"aborted after {watch.sent} bytes: {error}"
        raise PullAbortedError(message) from error
    except BaseException:
        abort(request.transport)  # cancelled: a close would let the send buffer drain first
        raise
    finally:
        watch.stop()


@define(eq=False)
class ProgressWatch:
    """Cuts the connection when the device takes less than it must within a window."""

    _request: web.BaseRequest
    sent: int = field(default=0, init=False)
    _left_buffer: int = field(default=0, init=False)
    _timer: asyncio.TimerHandle = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Start the first window."""
        self._start_window()

    def stop(self) -> None:
        """Watch no longer."""
        self._timer.cancel()

    def _start_window(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PROGRESS_WINDOW_SECONDS, self._end_window)

    def _end_window(self) -> None:
        transport = self._request.transport
        if transport is None:
            return
        waiting = transport.get_write_buffer_size()
        left_buffer = self.sent - waiting
        if waiting and left_buffer - self._left_buffer < MIN_PROGRESS_BYTES:
            _log.warning("device does not read, connection cut", bytes=left_buffer)
            abort(transport)
            return
        self._left_buffer = left_buffer
        self._start_window()


def _bound_write_buffer(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
