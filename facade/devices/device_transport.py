"""TLS of a device's connection, on the socket itself: what is written goes into the kernel.

The loop's own TLS encrypts into memory, copies that twice and sends it later. That takes a third of
the CPU of a warm blob, and some 100 KiB for each device that stopped. Here only what the kernel did
not take of one write waits.

How far a connection is (`TransportState`):

           close()               the device's goodbye, and something waits
    OPEN ───────────► CLOSING ─────────────────────────────────────────────► LEFT
      │                  │                                                     ▲  │
      ├──────────────────┼───── the device's goodbye ──────────────────────────┘  │ all is given
      ▼                  ▼ the device's goodbye, and nothing waits                ▼
    CLOSED ◄────────────────────────────────────────────────── from each: aborted, lost, too late

What its writer may do (`WritingState`). It is paused in every state but FREE:

             it gave enough in this turn              the kernel does not take all
    RESTING ◄──────────────────────────── FREE ──────────────────────────────────► FULL
      │  │        the loop's next turn     ▲ ▲             all is taken             │  ▲
      │  └─────────────────────────────────┘ └──────────────────────────────────────┘  │
      └────────────────── the kernel does not take all ────────────────────────────────┤
                                                                                       │
    OWING ◄── from each: the kernel does not take the answer to a KeyUpdate            │
      └─────────────────────────── that is taken ──────────────────────────────────────┘
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
from collections import deque
from collections.abc import Iterable
from enum import IntEnum, auto
from typing import Any, Final

from OpenSSL import SSL
from typing_extensions import override

from facade.devices.cork import Cork

RECORD_BYTES: Final = 16 * 1024  # the most that a TLS record holds: OpenSSL handles one at a time
# Given to the kernel in one turn of the loop. Then others have theirs, however fast a device reads.
TURN_BYTES: Final = 512 * 1024
# In the kernel, in addition to what is on its way; its default is 4 MiB. With 128 KiB, a device
# that keeps up takes a fifth more CPU, because every write is followed by a wait for its socket
# (docs/decisions/devices.md).
UNSENT_BYTES: Final = 512 * 1024
# After our close_notify the device has so long to read what waits, and to send its own. If a socket
# is closed while something is unread, it is reset, and the last answer is lost. asyncio's own
# client drops the end of an answer if the end of the connection follows at once
# (docs/decisions/devices.md).
CLOSE_SECONDS: Final = 5.0

# The kernel counts its own memory for what waits in a socket: TLS records and packets around it.
KERNEL_SHARE: Final = 2

_SO_MEMINFO: Final = 55  # asm-generic/socket.h: what a socket may take of memory, and takes
_MEMORY: Final = struct.Struct("=6I")  # read, its limit, sent, its limit, kept, queued to be sent
_SIOCOUTQNSD: Final = 0x894B  # linux/sockios.h: how much is queued and not on its way yet
_INT: Final = struct.Struct("=i")
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds
_Bytes = bytes | bytearray | memoryview


class TransportState(IntEnum):
    """How far a connection is."""

    OPEN = auto()  # both sides may send
    CLOSING = auto()  # ours is told to end; what was written is still given, then our goodbye
    LEFT = auto()  # the device said goodbye; what was written is still given, then it is closed
    CLOSED = auto()  # the socket is closed


class WritingState(IntEnum):
    """What a writer may do now."""

    FREE = auto()
    RESTING = auto()  # it gave enough in this turn of the loop
    FULL = auto()  # the kernel did not take everything: the loop tells when it takes more
    OWING = auto()  # as FULL, and the answer to a KeyUpdate goes first: nothing is read meanwhile


class DeviceTransport(asyncio.Transport):
    """A finished handshake as asyncio's transport: bytes of HTTP in, bytes of HTTP out.

    Writing is paused as soon as the kernel does not take everything. After `abort`, nothing more of
    what was written before is delivered.
    """

    __slots__ = (
        "_close_seconds",
        "_close_timer",
        "_cork",
        "_given",
        "_is_watched",
        "_loop",
        "_protocol",
        "_socket",
        "_state",
        "_tls",
        "_unsent",
        "_wants_to_read",
        "_writing",
    )

    def __init__(
        self,
        accepted: socket.socket,
        tls: SSL.Connection,
        protocol: asyncio.Protocol,
        *,
        close_seconds: float = CLOSE_SECONDS,
    ) -> None:
        """Begin. The protocol is told within this call; if it raises, the connection ends."""
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._socket, self._tls, self._protocol = accepted, tls, protocol
        self._cork = Cork(self._loop, accepted, self._is_drained)
        self._unsent: deque[bytes | memoryview] = deque()  # the first of them is begun
        self._given = 0  # bytes, in this turn of the loop
        self._state, self._writing = TransportState.OPEN, WritingState.FREE
        self._wants_to_read = True  # the protocol does
        self._is_watched = False  # whether the loop tells when something can be read
        self._close_seconds = close_seconds
        self._close_timer: asyncio.TimerHandle | None = None
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        # The end of an answer does not wait until the device has acknowledged its beginning.
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch()  # in place of the handshake, which leaves the loop watching
        try:
            protocol.connection_made(self)
        except BaseException:
            self.abort()
            raise

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return `socket`, `peername`, `sockname`, `tls` (the connection) or `sslcontext`.

        If the device has reset the connection, its address is not known any more.
        """
        match name:
            case "socket":
                return self._socket
            case "tls":
                return self._tls
            case "sslcontext":
                return self._tls.get_context()
            case "peername" | "sockname":
                with contextlib.suppress(OSError):
                    return getattr(self._socket, f"get{name}")()
        return default

    @override
    def is_closing(self) -> bool:
        """Whether what is written from now on is dropped."""
        return self._state is not TransportState.OPEN

    @override
    def get_write_buffer_size(self) -> int:
        """Return how many bytes the kernel has not taken yet."""
        return sum(map(len, self._unsent)) if self._unsent else 0

    @property
    def sends_at_once(self) -> bool:
        """Whether what is written now is sent now: both sides may send, and nothing waits."""
        return self._state is TransportState.OPEN and not self._unsent

    def room_now(self) -> int:
        """Return how many bytes the kernel would take now, so that none of them waits here."""
        if self._writing >= WritingState.FULL or self._is_closed:
            return 0
        unsent = bytearray(_INT.size)
        try:
            memory = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMORY.size)
            fcntl.ioctl(self._socket, _SIOCOUTQNSD, unsent)
        except OSError:  # a sandbox that does not know them
            return 0
        *_, limit, _, queued = _MEMORY.unpack(memory)
        (ahead,) = _INT.unpack(unsent)
        return max(0, min(int(limit - queued) // KERNEL_SHARE, UNSENT_BYTES - int(ahead)))

    @override
    def write(self, data: _Bytes) -> None:
        """Send what the kernel takes. The rest waits, or a copy of it if it might change."""
        if self._state is not TransportState.OPEN or not data:
            return
        if self._unsent:
            self._unsent.append(_unchanging(data))
        elif not self._is_sent(data):
            if not self._is_closed:
                self._unsent.append(_unchanging(data))
                self._wait_to_write()
        elif self._given >= TURN_BYTES and self._writing is WritingState.FREE:
            self._go_on_writing(WritingState.RESTING)
            self._loop.call_soon(self._begin_turn)

    def end_answer(self) -> None:
        """Note that nothing follows what was written until the device asks for more.

        A packet that is not full need not wait for the turns after which that is certain.
        """
        if self._cork.is_in and not self._unsent and not self._is_closed:
            self._cork.take_out()

    @override
    def writelines(self, list_of_data: Iterable[_Bytes]) -> None:
        """Send one after the other, in full packets. What is large is not copied."""
        parts = [*list_of_data]
        if sum(map(len, parts)) <= RECORD_BYTES:
            parts = [b"".join(parts)]
        else:
            self._cork.put_in()
        for part in parts:
            self.write(part)

    @override
    def pause_reading(self) -> None:
        """Leave what the device sends in the kernel."""
        if self._state is TransportState.OPEN:  # later it reads only to find the device's goodbye
            self._wants_to_read = False
            self._watch()

    @override
    def resume_reading(self) -> None:
        """Read what the device sends."""
        self._wants_to_read = True
        self._watch()

    @override
    def close(self) -> None:
        """Send what was written, say goodbye, and wait a little for the device's."""
        if self._state is TransportState.OPEN:
            self._begin_end(TransportState.CLOSING)

    @override
    def abort(self) -> None:
        """Reset the connection, dropping what waits here and in the kernel.

        A socket that was only closed delivered 6 MB more, over 3.6 s (docs/decisions/devices.md).
        """
        if not self._is_closed:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._end(None)

    @property
    def _is_closed(self) -> bool:
        return self._state is TransportState.CLOSED

    def _is_sent(self, data: _Bytes) -> bool:
        """Tell whether the kernel took all of it. If not, the same bytes have to be sent again.

        If it never will, the connection has ended.
        """
        try:
            if len(data) > RECORD_BYTES:
                self._cork.put_in()
            self._tls.send(data)
        except SSL.WantWriteError:
            return False
        # WantReadError, too: the device sent a part of a KeyUpdate, which it need not do. Waiting
        # to write would take a whole core, because the socket can be written to all the time.
        except SSL.Error as error:
            self._end(_lost(error))
            return False
        self._given += len(data)
        self._cork.note_write()
        return True

    def _is_drained(self) -> bool:
        """Tell whether nothing waits, and the writer is not paused."""
        return not self._is_closed and self._writing is WritingState.FREE

    def _go_on_writing(self, state: WritingState) -> None:
        """Go on to another state of writing: tell the loop and the protocol what changes by it."""
        before, self._writing = self._writing, state
        if (before >= WritingState.FULL) != (state >= WritingState.FULL):
            if state >= WritingState.FULL:
                self._loop.add_writer(self._socket, self._on_writable)
            else:
                self._loop.remove_writer(self._socket)
        if (before is WritingState.OWING) != (state is WritingState.OWING):
            self._watch()
        if before is WritingState.FREE and state is not WritingState.FREE:
            self._protocol.pause_writing()
        elif before is not WritingState.FREE and state is WritingState.FREE:
            self._protocol.resume_writing()
            self._cork.watch()

    def _wait_to_write(self) -> None:
        if self._writing < WritingState.FULL:
            self._go_on_writing(WritingState.FULL)

    def _on_writable(self) -> None:
        self._given = 0
        if self._writing is WritingState.OWING and not self._is_answered():
            return
        while self._unsent:
            if not self._is_sent(self._unsent[0]):
                return
            self._unsent.popleft()
        self._go_on_writing(WritingState.FREE)
        if self._state is not TransportState.OPEN:
            self._say_goodbye()

    def _is_answered(self) -> bool:
        """Tell whether the kernel took the answer to a KeyUpdate."""
        try:
            self._tls.do_handshake()  # OpenSSL is in the middle of this write
        except SSL.WantWriteError:
            return False
        except SSL.Error as error:
            self._end(_lost(error))
            return False
        self._go_on_writing(WritingState.FULL)
        return True

    def _begin_turn(self) -> None:
        self._given = 0
        if self._writing is WritingState.RESTING and not self._is_closed:
            self._go_on_writing(WritingState.FREE)

    def _watch(self) -> None:
        """Ask the loop to tell when the device sends something, or not to, as things are now."""
        can_read = self._state < TransportState.LEFT and self._writing is not WritingState.OWING
        wanted = self._wants_to_read and can_read
        if wanted is self._is_watched:
            return
        self._is_watched = wanted
        if wanted:
            self._loop.add_reader(self._socket, self._on_readable)
        else:
            self._loop.remove_reader(self._socket)

    def _on_readable(self) -> None:
        try:
            data = self._tls.recv(RECORD_BYTES)
        except SSL.WantReadError:  # not a whole record yet
            return
        except SSL.WantWriteError:
            self._go_on_writing(WritingState.OWING)
            return
        except SSL.ZeroReturnError:
            self._on_goodbye()
            return
        except SSL.Error as error:
            self._end(_lost(error))
            return
        if self._state is not TransportState.OPEN:
            return
        try:
            self._protocol.data_received(data)
        except BaseException:  # a mistake of ours: the loop logs it
            self.abort()
            raise

    def _on_goodbye(self) -> None:
        """The device will not ask for more. What was written already is still sent."""
        if self._state is TransportState.OPEN:
            self._begin_end(TransportState.LEFT)
        elif self._unsent:
            self._state = TransportState.LEFT
            self._watch()
        else:
            self._end(None)

    def _begin_end(self, state: TransportState) -> None:
        """Begin to close, for ourselves or because the device has left."""
        self._state = state
        if self._writing < WritingState.FULL:
            self._say_goodbye()
        if not self._is_closed:
            self._close_timer = self._loop.call_later(self._close_seconds, self._close_late)
            self.resume_reading()

    def _say_goodbye(self) -> None:
        try:
            self._tls.shutdown()
        except SSL.WantWriteError:
            self._wait_to_write()
        except SSL.Error as error:
            self._end(_lost(error))
        else:
            if self._state is TransportState.LEFT:
                self._end(None)

    def _close_late(self) -> None:
        """End, even if something waits here. The kernel goes on delivering what it has."""
        if self._unsent:
            self.abort()
        else:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if self._is_closed:
            return
        self._state = TransportState.CLOSED
        self._watch()
        if self._writing >= WritingState.FULL:
            self._loop.remove_writer(self._socket)
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._unsent.clear()
        self._cork.let_go()
        self._socket.close()
        self._loop.call_soon(self._protocol.connection_lost, error)


def _unchanging(data: _Bytes) -> bytes | memoryview:
    return data if isinstance(data, memoryview) and data.readonly else bytes(data)


def _lost(error: Exception) -> ConnectionError:
    """Return what the protocol is told, because OpenSSL's words are not for a log."""
    return ConnectionResetError(type(error).__name__)
