"""One call that waits for an answer: which file it is about, and the answer.

seccomp_unotify(2), linux/seccomp.h.
"""

import contextlib
import fcntl
import os
import struct
from pathlib import Path
from typing import Final, Self

from attrs import frozen

from tests.support.failing_disk.calls import Call, Names, SystemCall, this_machine

# struct seccomp_notif: id, pid, flags, and seccomp_data: nr, arch, instruction, six arguments
_NOTIFICATION: Final = struct.Struct("=QIIiIQ6Q")
_RESPONSE: Final = struct.Struct("=QqiI")  # struct seccomp_notif_resp: id, value, error, flags
_RECEIVE: Final = 0xC0502100  # SECCOMP_IOCTL_NOTIF_RECV
_SEND: Final = 0xC0182101  # SECCOMP_IOCTL_NOTIF_SEND
_CONTINUE: Final = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_BUFFER: Final = struct.Struct("=QQ")  # struct iovec: address, length
_PATH_BYTES: Final = 4096  # PATH_MAX
_PAGE_BYTES: Final = 4096  # what follows in the next page may not be there


@frozen
class Notification:
    """A call of a thread that waits."""

    thread: int
    _id: int
    _system_call: SystemCall
    _arguments: tuple[int, ...]

    @classmethod
    def receive(cls, listener: int) -> Self | None:
        """Return the next call; None if its thread has ended or was interrupted meanwhile."""
        received = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, received)
        except FileNotFoundError:
            return None
        identifier, thread, _, number, _, _, *arguments = _NOTIFICATION.unpack(received)
        return cls(thread, identifier, this_machine().calls[number], tuple(arguments))

    @property
    def call(self) -> Call:
        """What is asked for."""
        return self._system_call.call

    def path(self) -> Path:
        """Return the file that it is about. Raises `OSError` if its thread is gone."""
        match self._system_call.names:
            case Names.DESCRIPTOR:
                return Path(f"/proc/{self.thread}/fd/{self._arguments[0]}").readlink()
            case Names.PATH:
                return self._path_at(self._arguments[0])
            case Names.PATH_BELOW:
                return self._path_at(self._arguments[1])

    def end(self) -> int:
        """Return the byte behind the last one that a read or a write asks for, from the start.

        Raises `OSError` if its thread is gone.
        """
        offset, length = self._arguments[3], self._arguments[2]
        if self._system_call.is_vectored:
            buffers = self._memory(self._arguments[1], length * _BUFFER.size)
            length = sum(each for _, each in _BUFFER.iter_unpack(buffers))
        return offset + length

    def go_on(self, listener: int) -> None:
        """Have the kernel do what was asked."""
        self._answer(listener, 0, _CONTINUE)

    def fail(self, listener: int, number: int) -> None:
        """Have the call fail with an error of `errno`."""
        self._answer(listener, -number, 0)

    def _answer(self, listener: int, error: int, flags: int) -> None:
        with contextlib.suppress(FileNotFoundError):  # its thread ended, or will ask again
            fcntl.ioctl(listener, _SEND, _RESPONSE.pack(self._id, 0, error, flags))

    def _path_at(self, address: int) -> Path:
        """Return an absolute path as it was given; relative ones name nothing of the tests'."""
        text = self._memory(address, _PAGE_BYTES - address % _PAGE_BYTES)
        if b"\0" not in text:
            text += self._memory(address + len(text), _PATH_BYTES)
        return Path(os.fsdecode(text.partition(b"\0")[0]))

    def _memory(self, address: int, count: int) -> bytes:
        with Path(f"/proc/{self.thread}/mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(count)
