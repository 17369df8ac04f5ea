"""Gives verified pieces to a device at its own pace. A broken answer never looks complete.

A device that stops reading is cut, because `write()` would wait for it for ever. Progress is
counted in bytes that the device acknowledged. Bytes that left our buffer would say little: the
kernel takes megabytes at once, and then nothing until a slow device has read a third of them. Very
little progress in a window counts as none.

A stopped device costs the memory of what the kernel did not take of one write: nothing else of a
written piece is kept, and more is encrypted only when everything before it is in the kernel.
"""

import asyncio
import fcntl
import socket
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, cast

from aiohttp import web
from aiohttp.http_writer import StreamWriter
from attrs import define, field

from facade.content.source import PiecesNowait
from facade.devices.aborted_pull import PullAbortedError, abort
from facade.devices.device_connection import DeviceConnection
from facade.pulls.failure_answers import PULL_FAILURES
from facade.values.piece import Piece
from shared.structured_log import get_logger

PROGRESS_WINDOW_SECONDS: Final = 60.0
MIN_PROGRESS_BYTES: Final = 4 * 1024  # within the window; who is slower only holds a connection
# Encrypted at once, unless the kernel takes more whole; with its buffer it feeds 1 Gbit/s.
WRITE_BYTES: Final = 128 * 1024

_U64: Final = struct.Struct("=Q")
_INT: Final = struct.Struct("=i")
_TCPI_BYTES_ACKED: Final = 120  # its offset in `struct tcp_info`, since Linux 4.2
_log = get_logger("facade.relay")


async def relay(
    request: web.BaseRequest,
    response: web.StreamResponse,
    pieces: AsyncIterator[Piece],
    *,
    on_given: Callable[[int], None] = lambda _: None,
    window_seconds: float = PROGRESS_WINDOW_SECONDS,
) -> None:
    """Send the pieces as the body of the response; `on_given` is told of bytes given to be sent.

    Errors before the first piece are raised as they are, because nothing was sent. After it, what
    `AnswerDelivery` says is true.
    """
    delivery = AnswerDelivery(cast(DeviceConnection, request.protocol), on_given)
    first = [await anext(pieces, None)]  # taken out: this frame stays while the device reads
    with delivery.watched(window_seconds):
        writer = cast(StreamWriter, await response.prepare(request))
        frame = partial(writer.write, drain=False)
        await delivery.give(pieces, first.pop(), frame, is_framed=response.chunked)
        await response.write_eof()


@define(eq=False)
class AnswerDelivery:
    """The bytes of one answer on their way to a device; `on_given` is told of them.

    If it fails, the connection is reset. A device that takes too little within a window is cut.
    """

    _connection: DeviceConnection
    _on_given: Callable[[int], None]
    _given: int = field(default=0, init=False)

    @contextmanager
    def watched(self, window_seconds: float = PROGRESS_WINDOW_SECONDS) -> Iterator[None]:
        """Watch whether the device reads; raise `PullAbortedError` if the block fails."""
        watch = _ProgressWatch(self._connection, window_seconds)
        try:
            yield
        except PULL_FAILURES as error:
            abort(self._connection.transport)
            raise PullAbortedError(f"aborted after {self._given} bytes: {error}") from error
        except BaseException:
            # Cancelled, say: a close would let the send buffer drain first.
            abort(self._connection.transport)
            raise
        finally:
            watch.stop()

    async def give(
        self,
        pieces: AsyncIterator[Piece],
        piece: Piece | None = None,
        frame: Callable[[Piece], Awaitable[None]] | None = None,
        *,
        is_framed: bool = False,
    ) -> None:
        """Give a piece, and all that follow. Return when the kernel has taken them.

        `frame` writes the first one, with the head; with `is_framed`, all of them.
        """
        at_hand, connection = _at_hand(pieces), self._connection
        while piece is not None or not self.is_over(pieces):
            if connection.writing_paused:
                await connection.drain()
            if piece is None and (piece := at_hand()) is None:
                piece = await anext(pieces, None)
            if piece is None:
                return
            rest = None
            if len(piece) > WRITE_BYTES and len(piece) > connection.room_now():
                rest, piece = memoryview(piece)[WRITE_BYTES:], memoryview(piece)[:WRITE_BYTES]
            if frame is not None and (is_framed or not self._given):
                await frame(piece)
                self._count(len(piece))
            else:
                self.write(piece)
            piece = rest  # the written part is not kept while the device reads it

    def write(self, piece: Piece) -> None:
        """Give a piece to be sent, past aiohttp's writer; raise `ConnectionResetError`."""
        self._open_transport.write(piece)
        self._count(len(piece))

    def begin(self, head: bytes, pieces: PiecesNowait) -> None:
        """Give an answer's head, and the pieces that can be given in this turn of the loop.

        Raises `ConnectionResetError`.
        """
        connection = self._connection
        first = pieces.next_nowait() or b""
        self._open_transport.writelines((head, first))
        self._count(len(first))
        while not connection.writing_paused and (piece := pieces.next_nowait()) is not None:
            self.write(piece)

    def is_over(self, pieces: object) -> bool:
        """Tell whether nothing follows, and the kernel has taken everything.

        Then nobody need wait for the turn in which more may be given. False also if the pieces do
        not tell what is left of them.
        """
        return getattr(pieces, "left", None) == 0 and not self._connection.has_unsent

    def require_open(self) -> None:
        """Raise `ConnectionResetError` if what was given may not have been taken."""
        _ = self._open_transport

    @property
    def _open_transport(self) -> asyncio.Transport:
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        return transport

    def _count(self, given: int) -> None:
        self._given += given
        self._on_given(given)


def _at_hand(pieces: AsyncIterator[Piece]) -> Callable[[], Piece | None]:
    """Return what gives a piece without waiting, if the pieces are `PiecesNowait`.

    To ask `isinstance` of a protocol takes ten times as long.
    """
    given: Callable[[], Piece | None] = getattr(pieces, "next_nowait", _nothing_at_hand)
    return given


def _nothing_at_hand() -> None:
    return None


@define(eq=False)
class _ProgressWatch:
    """Cuts the connection if the device took too little within a window."""

    _connection: DeviceConnection
    _window_seconds: float
    _acknowledged: int = field(default=0, init=False)
    _timer: asyncio.TimerHandle = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Start the first window."""
        self._start_window()

    def stop(self) -> None:
        """Watch no longer."""
        self._timer.cancel()

    def _start_window(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._window_seconds, self._end_window)

    def _end_window(self) -> None:
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            return
        connection: socket.socket = transport.get_extra_info("socket")
        before, self._acknowledged = self._acknowledged, _acknowledged_bytes(connection)
        is_waiting = transport.get_write_buffer_size() + _unacknowledged_bytes(connection) > 0
        if is_waiting and self._acknowledged - before < MIN_PROGRESS_BYTES:
            _log.warning("device does not read, connection cut", bytes=self._acknowledged)
            abort(transport)
            return
        self._start_window()


def _acknowledged_bytes(connection: socket.socket) -> int:
    """Return how many bytes the device acknowledged since it connected (tcp(7), linux/tcp.h)."""
    size = _TCPI_BYTES_ACKED + _U64.size
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    return int(_U64.unpack_from(info, _TCPI_BYTES_ACKED)[0])


def _unacknowledged_bytes(connection: socket.socket) -> int:
    """Return how many bytes the kernel holds for the device (`SIOCOUTQ`, tcp(7))."""
    answer = bytearray(_INT.size)
    fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, answer)
    return int(_INT.unpack(answer)[0])
