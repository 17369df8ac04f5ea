"""Open-file-description locks: they belong to an open file, and end with the process.

Unlike `flock` they can be asked about without being taken, and unlike POSIX locks they do not
vanish when another descriptor of the same file is closed (fcntl(2)).
"""

import fcntl
import os
import struct
from typing import Final

_WHOLE_FILE: Final = (0, 0, 0, 0)  # l_whence, l_start, l_len, l_pid
_FLOCK: Final = "hhqqi4x"


def lock_exclusively(descriptor: int) -> bool:
    """Take the file's lock; False if somebody else holds it or a share of it."""
    return _set(descriptor, fcntl.F_WRLCK)


def lock_shared(descriptor: int) -> bool:
    """Take a share of the file's lock; False if somebody holds it exclusively."""
    return _set(descriptor, fcntl.F_RDLCK)


def unlock(descriptor: int) -> None:
    """Let go of the file's lock."""
    _set(descriptor, fcntl.F_UNLCK)


def is_locked(descriptor: int) -> bool:
    """Tell whether another open file holds a lock."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, *_WHOLE_FILE)
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def lock_span_shared(descriptor: int, first: int, count: int) -> bool:
    """Take a share of the lock of some bytes; False if somebody holds it exclusively."""
    return _set(descriptor, fcntl.F_RDLCK, (os.SEEK_SET, first, count, 0))


def lock_span_exclusively(descriptor: int, first: int, count: int) -> bool:
    """Take the lock of some bytes; False if somebody else holds it or a share of it."""
    return _set(descriptor, fcntl.F_WRLCK, (os.SEEK_SET, first, count, 0))


def unlock_span(descriptor: int, first: int, count: int) -> None:
    """Let go of the lock of some bytes, or of a share of it."""
    _set(descriptor, fcntl.F_UNLCK, (os.SEEK_SET, first, count, 0))


def keep_span(descriptor: int, first: int, count: int) -> None:
    """Let go of the locks of all other bytes."""
    if first:
        _set(descriptor, fcntl.F_UNLCK, (os.SEEK_SET, 0, first, 0))
    _set(descriptor, fcntl.F_UNLCK, (os.SEEK_SET, first + count, 0, 0))


def first_lock(descriptor: int, first: int, count: int) -> tuple[int, int] | None:
    """Return the first byte and the end of a lock that another open file holds on some bytes."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, first, count, 0)
    kind, _, begins, length, _ = struct.unpack(
        _FLOCK, fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)
    )
    if kind == fcntl.F_UNLCK:
        return None
    return begins, begins + length if length else first + count


def _set(descriptor: int, kind: int, span: tuple[int, int, int, int] = _WHOLE_FILE) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, kind, *span))
    except BlockingIOError:
        return False
    return True
