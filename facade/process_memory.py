"""How the C library's allocator treats this process: what a connection took goes back after it.

glibc raises its threshold for mapping memory on its own when a large block is freed, and then cuts
the next ones out of the heap, which they fragment. uvloop takes 256 KiB for each TLS connection and
touches a page or two of them: as a mapping they cost those pages, and nothing once it is closed.
1,000 devices were measured at 100 KiB less each.
"""

import ctypes
import sys
from typing import Final

# mallopt(3), <malloc.h>. From this size on a block is a mapping of its own: what uvloop takes for a
# connection, and not what is read from registries in one go, which would pay for each page.
_M_MMAP_THRESHOLD: Final = -3
MAPPED_BYTES: Final = 256 * 1024


def map_large_blocks() -> bool:
    """Fix the threshold; tell whether the C library took it (another than glibc has none)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES) == 1
