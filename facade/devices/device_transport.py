"""TLS of a device's connection, on the socket itself: what is written goes into the kernel.

The loop's own TLS encrypts into memory, copies that twice and sends it later. That takes a third of
the CPU of a warm blob, and some 100 KiB for each device that stopped. Here only what the kernel did
not take of one write waits.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
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

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds
_Bytes = bytes | bytearray | memoryview


class DeviceTransport(asyncio.Transport):
    """A finished handshake as asyncio's transport: bytes of HTTP in, bytes of HTTP out.

    Writing is paused as soon as the kernel does not take everything. After `abort`, nothing more of
    what was written before is delivered.
    """

    __slots__ = (
        "_answers_late",
        "_close_seconds",
        "_close_timer",
        "_cork",
        "_device_left",
        "_given",
        "_is_closing",
        "_is_open",
        "_is_paused",
        "_is_reading",
        "_is_watched",
        "_loop",
        "_protocol",
        "_socket",
        "_tls",
        "_unsent",
        "_waits_to_write",
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
        self._is_open = True
        self._device_left = False
        self._is_closing = self._is_paused = self._waits_to_write = False
        self._is_reading = True  # whether the protocol wants to read
        self._is_watched = False  # whether the loop tells when something can be read
        self._answers_late = False  # a KeyUpdate was read, and the kernel does not take its answer
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
        return self._is_closing

    @override
    def get_write_buffer_size(self) -> int:
        """Return how many bytes the kernel has not taken yet."""
        return sum(map(len, self._unsent)) if self._unsent else 0

    @override
    def write(self, data: _Bytes) -> None:
        """Send what the kernel takes. The rest waits, or a copy of it if it might change."""
        if self._is_closing or not data:
            return
        if self._unsent:
            self._unsent.append(_unchanging(data))
        elif not self._is_sent(data):
            if self._is_open:
                self._unsent.append(_unchanging(data))
                self._wait_to_write()
        elif self._given >= TURN_BYTES:
            self._pause_protocol()
            self._loop.call_soon(self._begin_turn)

    @override
    def pause_reading(self) -> None:
        """Leave what the device sends in the kernel."""
        if not self._is_closing:  # from then on it reads only to find the device's goodbye
            self._is_reading = False
            self._watch()

    @override
    def resume_reading(self) -> None:
        """Read what the device sends."""
        self._is_reading = True
        self._watch()

    @override
    def close(self) -> None:
        """Send what was written, say goodbye, and wait a little for the device's."""
        if self._is_closing:
            return
        self._is_closing = True
        self._close_timer = self._loop.call_later(self._close_seconds, self._close_late)
        self.resume_reading()
        if not self._waits_to_write:
            self._say_goodbye()

    @override
    def abort(self) -> None:
        """Reset the connection, dropping what waits here and in the kernel.

        A socket that was only closed delivered 6 MB more, over 3.6 s (docs/decisions/devices.md).
        """
        if self._is_open:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._end(None)

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
        return self._is_open and not self._unsent and (self._is_closing or not self._is_paused)

    def _wait_to_write(self) -> None:
        if not self._waits_to_write:
            self._waits_to_write = True
            self._loop.add_writer(self._socket, self._on_writable)
        self._pause_protocol()

    def _on_writable(self) -> None:
        self._given = 0
        if self._answers_late and not self._is_answered():
            return
        while self._unsent:
            if not self._is_sent(self._unsent[0]):
                return
            self._unsent.popleft()
        self._waits_to_write = False
        self._loop.remove_writer(self._socket)
        if self._is_closing:
            self._say_goodbye()
            self._cork.watch()
        else:
            self._resume_protocol()

    def _is_answered(self) -> bool:
        """Tell whether the kernel took the answer to a KeyUpdate."""
        try:
            self._tls.do_handshake()  # OpenSSL is in the middle of this write
        except SSL.WantWriteError:
            return False
        except SSL.Error as error:
            self._end(_lost(error))
            return False
        self._answers_late = False
        self._watch()
        return True

    def _begin_turn(self) -> None:
        self._given = 0
        if not self._waits_to_write:
            self._resume_protocol()

    def _pause_protocol(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self._protocol.pause_writing()

    def _resume_protocol(self) -> None:
        if self._is_paused and self._is_open:
            self._is_paused = False
            self._protocol.resume_writing()
            self._cork.watch()

    def _watch(self) -> None:
        """Ask the loop to tell when the device sends something, or not to, as things are now."""
        wanted = self._is_reading and not self._device_left and not self._answers_late
        if wanted == self._is_watched or not self._is_open:
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
            self._answers_late = True
            self._watch()
            self._wait_to_write()
            return
        except SSL.ZeroReturnError:
            self._on_goodbye()
            return
        except SSL.Error as error:
            self._end(_lost(error))
            return
        if self._is_closing:
            return
        try:
            self._protocol.data_received(data)
        except BaseException:  # a mistake of ours: the loop logs it
            self.abort()
            raise

    def _on_goodbye(self) -> None:
        """The device will not ask for more. What was written already is still sent."""
        self._device_left = True
        self._watch()
        if self._is_closing and not self._unsent:
            self._end(None)
        else:
            self.close()

    def _say_goodbye(self) -> None:
        try:
            self._tls.shutdown()
        except SSL.WantWriteError:
            self._wait_to_write()
        except SSL.Error as error:
            self._end(_lost(error))
        else:
            if self._device_left:
                self._end(None)

    def _close_late(self) -> None:
        """End, even if something waits here. The kernel goes on delivering what it has."""
        if self._unsent:
            self.abort()
        else:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        if not self._is_open:
            return
        self._is_reading = False
        self._watch()
        if self._waits_to_write:
            self._loop.remove_writer(self._socket)
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._is_open, self._is_closing = False, True
        self._unsent.clear()
        self._cork.let_go()
        self._socket.close()
        self._loop.call_soon(self._protocol.connection_lost, error)


def _unchanging(data: _Bytes) -> bytes | memoryview:
    return data if isinstance(data, memoryview) and data.readonly else bytes(data)


def _lost(error: Exception) -> ConnectionError:
    """Return what the protocol is told, because OpenSSL's words are not for a log."""
    return ConnectionResetError(type(error).__name__)
