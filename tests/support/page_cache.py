"""Whether the kernel tells of a file system what is cached.

tmpfs and overlayfs, on which many machines and containers have their temporary files, cannot tell:
everything is read by a thread there, and nothing is at hand.
"""

import errno
import os
import tempfile
from pathlib import Path


def tells_what_is_cached(folder: Path) -> bool:
    """Return whether a read that does not wait is answered there."""
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
