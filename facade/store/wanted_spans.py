"""What readers of other processes wait for of an arriving blob: told by locks, which end with them.

A reader holds a shared lock on the bytes that it waits for, in a file that has none. Whoever brings
the blob asks which bytes somebody has locked. So nothing has to be cleaned up when a process dies,
and nobody waits for anybody.
"""

import os
from pathlib import Path
from typing import Final

from attrs import define, field

from facade.store.file_lock import first_lock, keep_span, lock_span_shared
from shared.own_files import open_own

WANTED = "wanted"
ALL_OF_IT: Final = 2**61  # behind any blob: a lock there stands for all of the blob
TOLD_BYTES: Final = 8 * 1024 * 1024  # of what one waits for, so that others are seen behind it
MAX_SPANS: Final = 256  # looked for at once, some microseconds each


@define(eq=False)
class ToldWant:
    """What one reader waits for."""

    _descriptor: int
    _told: tuple[int, int] | None = field(default=None, init=False)

    @classmethod
    def open(cls, folder: Path) -> "ToldWant":
        """Open the file that whoever brings a blob has made; raise `OSError`. Blocks."""
        return cls(open_own(folder / WANTED, os.O_RDWR))

    def tell(self, first: int, end: int) -> None:
        """Wait for these bytes, and no others."""
        self._tell(first, min(end, first + TOLD_BYTES))

    def tell_all(self) -> None:
        """Wait for all of it."""
        self._tell(ALL_OF_IT, ALL_OF_IT + 1)

    def _tell(self, first: int, end: int) -> None:
        if self._told != (first, end):
            self._told = (first, end)
            # In this order, so that nobody sees it waiting for nothing.
            lock_span_shared(self._descriptor, first, end - first)
            keep_span(self._descriptor, first, end - first)

    def close(self) -> None:
        """Wait for nothing any more."""
        os.close(self._descriptor)


@define(eq=False)
class ToldWants:
    """What readers of other processes wait for, as whoever brings the blob sees it."""

    _descriptor: int

    @classmethod
    def open(cls, folder: Path) -> "ToldWants":
        """Open the file of an arriving blob; raise `OSError`. Blocks."""
        return cls(open_own(folder / WANTED, os.O_RDWR | os.O_CREAT))

    @property
    def is_some(self) -> bool:
        """Whether somebody waits, or has waited and still reads."""
        return first_lock(self._descriptor, 0, ALL_OF_IT + 1) is not None

    @property
    def is_all(self) -> bool:
        """Whether somebody waits for all of it."""
        return first_lock(self._descriptor, ALL_OF_IT, 1) is not None

    def spans(self) -> list[tuple[int, int]]:
        """Return the first bytes and ends of what is waited for, but not what others cover."""
        found, unknown = list[tuple[int, int]](), [(0, ALL_OF_IT)]
        while unknown and len(found) < MAX_SPANS:
            first, end = unknown.pop(0)
            locked = first_lock(self._descriptor, first, end - first) if first < end else None
            if locked is not None:
                found.append(locked)
                unknown += [(first, locked[0]), (locked[1], end)]
        return found

    def close(self) -> None:
        """Look no more."""
        os.close(self._descriptor)
