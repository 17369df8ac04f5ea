"""Opens files that the kernel knows already: on the loop without waiting, else in a thread.

If a disk hangs, looking up a name blocks. openat2(2) with RESOLVE_CACHED looks only into the
kernel's memory, and fails if the disk has to be asked. So a warm file is opened on the loop, which
takes no longer than an open, and any other file in a thread.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import frozen

from facade.store.page_cache_read import read_nowait
from shared.own_files import open_own, require_own_file

_OPENAT2: Final = 437  # the number of the system call on every architecture
_RESOLVE_CACHED: Final = 0x20  # since Linux 5.12
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_HOW: Final = struct.pack("QQQ", _FLAGS, 0, _RESOLVE_CACHED)
_AT_FDCWD: Final = -100  # for a path that begins at the root, as ours do
# The answers of an older kernel, or of a sandbox that does not know the call. Then a thread opens
# it.
_CANNOT_TELL: Final = (errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP)
_system_call: Final = ctypes.CDLL(None, use_errno=True).syscall


@frozen
class Opening:
    """How the files of a blob are opened and read."""

    open: Callable[[Path | str], int]  # gives a descriptor
    read: Callable[[int], bytes | bytearray]  # gives the whole of an open file


def open_cached(path: Path | str) -> int:
    """Open a file as `open_own` does; raise `BlockingIOError` if that would have to wait."""
    descriptor: int = _system_call(_OPENAT2, _AT_FDCWD, os.fsencode(path), _HOW, len(_HOW))
    if descriptor < 0:
        number = ctypes.get_errno()
        number = errno.EAGAIN if number in _CANNOT_TELL else number
        raise OSError(number, os.strerror(number))
    try:
        require_own_file(descriptor, path)
    except BaseException:  # whatever it is, the file is closed
        os.close(descriptor)
        raise
    return descriptor


def _read_cached(descriptor: int) -> bytearray:
    content = read_nowait(descriptor, 0, os.fstat(descriptor).st_size)
    if content is None:
        raise BlockingIOError(errno.EAGAIN, "it is not in the page cache")
    return content


def _open_waiting(path: Path | str) -> int:
    return open_own(path, os.O_RDONLY)


def _read_waiting(descriptor: int) -> bytes:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read()


# Raises `BlockingIOError` if the disk has to be asked.
AT_ONCE: Final = Opening(open_cached, _read_cached)
# Blocks as long as the disk takes.
WAITING: Final = Opening(_open_waiting, _read_waiting)


def read_whole(path: Path | str, opening: Opening) -> bytes | bytearray:
    """Return the content of a small file; raise what `opening` raises."""
    descriptor = opening.open(path)
    try:
        return opening.read(descriptor)
    finally:
        os.close(descriptor)
