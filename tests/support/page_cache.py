"""Whether the kernel tells what a file system has in the page cache.

For tmpfs and overlayfs, on which many machines and containers have their temporary files, it cannot
tell. There everything is read by a thread.
"""

import errno
import os
import tempfile
from pathlib import Path


def tells_what_is_cached(folder: Path) -> bool:
    """Return whether a read that must not wait succeeds there."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"x")
        file.flush()
        try:
            os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            return False
        return True
