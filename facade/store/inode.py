"""Which file an open file is, whatever its name: in the store, names pass to other files."""

import os
from pathlib import Path
from typing import Final

from attrs import frozen

BLOCK_BYTES: Final = 512  # of `st_blocks`, whatever the file system's own are (stat(2))


@frozen
class Inode:
    """A file of this machine."""

    device: int
    number: int


def inode_of(file: int | Path) -> Inode:
    """Return which file a descriptor or a path is; raise `OSError`."""
    status = file.stat() if isinstance(file, Path) else os.fstat(file)
    return Inode(status.st_dev, status.st_ino)


def is_file_at(descriptor: int, path: Path | str) -> bool:
    """Tell whether the open file is the one that lies there now; raise `OSError`."""
    there = os.stat(path)  # noqa: PTH116 - each warm pull asks, and a `Path` takes longer than it
    return os.path.samestat(os.fstat(descriptor), there)


def allocated_bytes(descriptor: int) -> int:
    """Return how many bytes an open file takes: of a sparse one, those that were written."""
    status = os.fstat(descriptor)
    return min(status.st_size, status.st_blocks * BLOCK_BYTES)
