"""A file that a setting names, read with a bound in bytes and in time, whatever lies there."""

import errno
import os
import select
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from shared.safe_message import SafeMessage

PIPE_SECONDS: Final = 5.0  # for all that comes through a pipe, as a shell makes one for `<(...)`
_READ_BYTES: Final = 1024 * 1024


class UnusableFileError(SafeMessage, OSError):
    """What lies there is no file, or a longer one than allowed; the message quotes nothing."""

    def __init__(self, words: str) -> None:
        """Say what is there."""
        super().__init__(errno.EINVAL, words)

    def __str__(self) -> str:
        """Return the words alone."""
        return str(self.strerror)


class TooLongFileError(UnusableFileError):
    """The file is longer than it may be."""


def read_bounded(path: Path, at_most: int, *, pipe_seconds: float = PIPE_SECONDS) -> bytes:
    """Return what a file holds, or what comes through a pipe until its end. Blocks, for no longer.

    With `pipe_seconds=0` pipes are refused, because a file that is read again must still be there.
    Raises `UnusableFileError` and other `OSError`.
    """
    descriptor = _opened(path)
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISREG(kind):
            content = _read(descriptor, at_most, None)
        elif stat.S_ISFIFO(kind) and pipe_seconds:
            content = _read(descriptor, at_most, time.monotonic() + pipe_seconds)
        else:
            raise UnusableFileError("it is no file")
    finally:
        os.close(descriptor)
    if len(content) > at_most:
        raise TooLongFileError(f"it is longer than {at_most} bytes")
    return content


def require_file(path: Path, at_most: int) -> None:
    """Raise as `read_bounded` does, and read nothing: a library will read the file itself."""
    descriptor = _opened(path)
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise UnusableFileError("it is no file")
    if found.st_size > at_most:
        raise TooLongFileError(f"it is longer than {at_most} bytes")


def _opened(path: Path) -> int:
    # O_NONBLOCK: a pipe that nobody writes to is opened without waiting, a file as always.
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)


def _read(descriptor: int, at_most: int, deadline: float | None) -> bytes:
    content = bytearray()
    while len(content) <= at_most:
        if deadline is not None:
            _wait(descriptor, deadline)
        with suppress(BlockingIOError):  # another reader of the pipe was faster
            found = os.read(descriptor, min(_READ_BYTES, at_most + 1 - len(content)))
            if not found:
                break
            content += found
    return bytes(content)


def _wait(pipe: int, deadline: float) -> None:
    """Wait until there is something to read, or the last writer has left."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise UnusableFileError("nothing came through the pipe")
