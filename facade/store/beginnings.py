"""Who begins to bring a blob: told by a lock, so that nothing need be made before it is asked for.

To make a folder and a file takes as long as the disk likes, while a device waits for its first
byte. So whoever begins holds a lock on one byte of a file that all share. The folder is made while
the registry is asked; once its file has a lock of its own (`ingest_file`), this one is let go of.
"""

import hashlib
import os
from pathlib import Path
from typing import Final, Self

from attrs import frozen

from facade.store.file_lock import first_lock, lock_span_exclusively
from shared.own_files import open_own

_PLACE_BYTES: Final = 7  # of a hash: no two that begin share them


@frozen
class BeginningLock:
    """The lock of one who begins. It ends with the process."""

    _descriptor: int

    @classmethod
    def take(cls, file: Path, name: str) -> Self | None:
        """Be the one who begins; None if somebody else is. Raises `OSError`."""
        descriptor = _opened(file)
        is_taken = False
        try:
            is_taken = lock_span_exclusively(descriptor, _place(name), 1)
        finally:
            if not is_taken:
                os.close(descriptor)
        return cls(descriptor) if is_taken else None

    def let_go(self) -> None:
        """Let somebody else begin."""
        os.close(self._descriptor)


def is_begun(file: Path, name: str) -> bool:
    """Tell whether somebody begins to bring a blob now; raise `OSError`."""
    descriptor = _opened(file)
    try:
        return first_lock(descriptor, _place(name), 1) is not None
    finally:
        os.close(descriptor)


def _opened(file: Path) -> int:
    return open_own(file, os.O_RDWR | os.O_CREAT)


def _place(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:_PLACE_BYTES])
