"""Reads what is most likely in the page cache: on the loop without waiting, else in a thread.

A hop to a thread for every 64 KiB took 4 times the CPU of all else in a warm read
(docs/decisions/stored-blobs.md).
"""

import errno
import os
from typing import Final

from facade.loop.thread_work import in_store_thread

READ_BYTES: Final = 128 * 1024  # at once for a device; larger ones cost memory, smaller ones time
# Not cached; or on tmpfs and overlayfs, which cannot tell.
_WOULD_WAIT: Final = (errno.EAGAIN, errno.EOPNOTSUPP)


def read_nowait(descriptor: int, offset: int, count: int) -> bytearray | None:
    """Return `count` bytes from an offset; None if they are not cached, or not all there.

    Raises `OSError`.
    """
    buffer = bytearray(count)
    try:
        read = os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno not in _WOULD_WAIT:
            raise
        return None
    return buffer if read == count else None


async def read_at(descriptor: int, offset: int, count: int) -> bytes | bytearray:
    """Return `count` bytes from an offset, fewer only at the end; raise `OSError`."""
    cached = read_nowait(descriptor, offset, count)
    if cached is not None:
        return cached
    return await in_store_thread(os.pread, descriptor, count, offset)
