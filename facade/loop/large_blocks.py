"""Large blocks of memory go back to the system as soon as they are freed.

Python keeps a table of interned strings, of 2 MB once a facade runs. `pathlib` interns each part of
each path, and a path names a blob; so every 50,000 names the table is copied to a new place and the
old one is freed. By glibc's own rule the copy soon lies in the heap of the thread that made it, and
what it leaves there stays: each of a dozen threads comes to hold such holes (docs/decisions).
"""

import ctypes
import errno
import os
from typing import Final

# Blocks of this size are mapped by themselves. What pulls take again and again is smaller: up to
# 1 MiB is gathered. Memory that is mapped anew for each of those would cost page faults.
MAPPED_FROM_BYTES: Final = 1536 * 1024
# At the end of a heap, so much is kept: about what glibc keeps by its own rule, which a fixed
# size of mapped blocks puts out of force.
KEPT_FREE_BYTES: Final = 4 * 1024 * 1024
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def give_large_blocks_back() -> None:
    """Have glibc do so in this process, from now on. Another C library has its own ways."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return
    for option, size in (
        (_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES),
        (_M_TRIM_THRESHOLD, KEPT_FREE_BYTES),
    ):
        if not set_option(option, size):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
