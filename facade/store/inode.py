"""Which file an open file is, whatever its name: in the store, names pass to other files."""

import os
from pathlib import Path

from attrs import frozen


@frozen
class Inode:
    """A file of this machine."""

    device: int
    number: int


def inode_of(file: int | Path) -> Inode:
    """Return which file a descriptor or a path is; raise `OSError`."""
    status = file.stat() if isinstance(file, Path) else os.fstat(file)
    return Inode(status.st_dev, status.st_ino)


def is_file_at(descriptor: int, path: Path) -> bool:
    """Tell whether the open file is the one that lies there now; raise `OSError`."""
    return inode_of(descriptor) == inode_of(path)
