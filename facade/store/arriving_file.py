"""A growing file, open for reading: what it gives is what came.

Each piece is compared with its checksum, as for a stored blob. A reader may be hours behind, and
goes on reading the same file after it was moved to its place.
"""

import errno
import os
from pathlib import Path
from typing import Final, Self

from attrs import define, field

from facade.errors import StoreFailedError
from facade.store.file_lock import is_locked
from facade.store.inode import Inode, allocated_bytes, inode_of, is_file_at
from facade.store.last_piece import LastPiece
from facade.store.page_cache_read import read_at, read_nowait
from facade.store.piece_checksums import (
    CHECKED_BYTES,
    LENGTH_BYTES,
    checked_bytes,
    checked_span,
    checksums_span,
    have_checksums,
    length_header,
    runs_there,
)
from shared.own_files import open_own

DATA: Final = "data"
CHECKSUMS: Final = "checksums"
LOOK_BYTES: Final = 4 * 1024 * 1024  # of what has come: a KiB of checksums


class RottenArrivalError(StoreFailedError, OSError):
    """The disk gives other bytes than came."""

    def __init__(self, what: str) -> None:
        super().__init__(errno.EIO, what)


@define(eq=False)
class ArrivingFile:
    """The bytes of a blob, as far as they have come, and their checksums."""

    length: int | None  # of the whole blob; None as long as nobody knows
    _data: int
    _checksums: int
    _last: LastPiece = field(factory=LastPiece, init=False)  # of all its readers

    @classmethod
    def open(cls, folder: Path, length: int | None) -> Self:
        """Open both; raises `OSError`."""
        data = open_own(folder / DATA, os.O_RDONLY)
        try:
            return cls(length, data, open_own(folder / CHECKSUMS, os.O_RDONLY))
        except BaseException:
            os.close(data)
            raise

    def close(self) -> None:
        """Close both."""
        os.close(self._data)
        os.close(self._checksums)

    @property
    def inode(self) -> Inode:
        """A new attempt has another one."""
        return inode_of(self._data)

    @property
    def checked(self) -> int:
        """How many bytes have come and have their checksums."""
        return min(checked_bytes(os.fstat(self._checksums).st_size, self.length), self.size)

    @property
    def size(self) -> int:
        """How many bytes have come."""
        return os.fstat(self._data).st_size

    @property
    def allocated(self) -> int:
        """How many bytes have come, wherever they lie: what nobody wrote takes no room."""
        return allocated_bytes(self._data)

    def run_end(self, offset: int) -> int:
        """Return the end of what has come from an offset on, as far as a look shows.

        Blocks; raises `OSError`.
        """
        first, size = checksums_span(offset, LOOK_BYTES)
        return self._run_end(offset, os.pread(self._checksums, size, first))

    def run_end_nowait(self, offset: int) -> int | None:
        """Return what `run_end` does; None if the disk would have to be waited for."""
        first, size = checksums_span(offset, LOOK_BYTES)
        size = min(size, os.fstat(self._checksums).st_size - first)
        checksums = read_nowait(self._checksums, first, size) if size > 0 else b""
        return None if checksums is None else self._run_end(offset, checksums)

    def _run_end(self, offset: int, checksums: bytes | bytearray) -> int:
        first, run = next(runs_there(checksums), (0, 0))
        end = offset - offset % CHECKED_BYTES + (0 if first else run * CHECKED_BYTES)
        return max(offset, end if self.length is None else min(end, self.length))

    def read_now(self, offset: int, count: int) -> memoryview:
        """Return `count` of the checked bytes. Blocks; raises as `read` does."""
        start, size = checked_span(offset, count, self.length)
        content = os.pread(self._data, size, start)
        first, checksums_size = checksums_span(start, size)
        checksums = os.pread(self._checksums, checksums_size, first)
        if len(content) != size:
            raise RottenArrivalError("the file is shorter than it was")
        return _checked(content, checksums)[offset - start :][:count]

    @property
    def is_unlinked(self) -> bool:
        """Tell whether it has no name any more."""
        return os.fstat(self._data).st_nlink == 0

    @property
    def has_owner(self) -> bool:
        """Tell whether somebody still writes it."""
        return is_locked(self._data)

    def end(self) -> None:
        """Note that it was proven: it is as long as it is now.

        Raises `RottenArrivalError` if that is not what its writer said.
        """
        if self.length is not None:
            return
        size = self.size
        if os.pread(self._checksums, LENGTH_BYTES, 0) != length_header(size):
            raise RottenArrivalError("the file is not as long as it was")
        self.length = size

    def lies_at(self, path: Path) -> bool:
        """Tell whether it is the file there; raise `OSError`."""
        return is_file_at(self._data, path)

    def read_nowait(self, offset: int, count: int) -> memoryview | None:
        """Return `count` of the checked bytes; None if that would have to wait.

        Raises `RottenArrivalError`, `OSError`.
        """
        if (known := self._last.read(offset, count)) is not None:
            return known
        start, size = checked_span(offset, count, self.length)
        content = read_nowait(self._data, start, size)
        if content is None:
            return None
        at, checksums_size = checksums_span(start, size)
        checksums = read_nowait(self._checksums, at, checksums_size)
        if checksums is None:
            return None
        checked = _checked(content, checksums)
        self._last.keep(start, checked, count)
        return checked[offset - start :][:count]

    async def read(self, offset: int, count: int) -> memoryview:
        """Return `count` of the checked bytes, however long it takes."""
        if (known := self._last.read(offset, count)) is not None:
            return known
        start, size = checked_span(offset, count, self.length)
        content = await read_at(self._data, start, size)
        checksums = await read_at(self._checksums, *checksums_span(start, size))
        if len(content) != size:
            raise RottenArrivalError("the file is shorter than it was")
        checked = _checked(content, checksums)
        self._last.keep(start, checked, count)
        return checked[offset - start :][:count]


def _checked(content: bytes | bytearray, checksums: bytes | bytearray) -> memoryview:
    if not have_checksums(content, checksums):
        raise RottenArrivalError("a piece is not what came")
    return memoryview(content).toreadonly()
