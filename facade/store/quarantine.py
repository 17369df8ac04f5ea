"""Rotten files, kept for a person: where and how their bytes differ shows what the disk did.

It is bounded, because a failing disk ruins one blob after the other. It counts toward the quota,
because it is on the same disk, and is deleted first if that disk is full.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from facade.store.failing_sector import passing_over_bad_places

MAX_FILES: Final = 16  # a pattern shows in fewer
SHARE_OF_QUOTA: Final = 0.1  # what is kept besides the newest
SHARE_OF_NEWEST: Final = 0.5  # a larger one could take the room in which its blob is fetched again


@frozen
class _Kept:
    path: Path
    size: int
    taken_at: int  # nanoseconds; renaming changes a file's ctime


@frozen
class Quarantine:
    """The folder of what rotted."""

    folder: Path
    _quota: int  # bytes of the whole store

    def take(self, path: Path, name: str) -> None:
        """Move a file in, if it is still there, and keep to the bounds. Raises `OSError`."""
        with suppress(FileNotFoundError):
            path.rename(self.folder / f"{name}-{time.time_ns()}")
        self.trim()

    def stored_bytes(self) -> int:
        """Return how many bytes lie here."""
        return sum(each.size for each in self._newest_first())

    def trim(self) -> None:
        """Delete what is beyond the bounds."""
        total = 0
        for place, each in enumerate(self._newest_first()):
            share = SHARE_OF_QUOTA if place else SHARE_OF_NEWEST
            if place >= MAX_FILES or total + each.size > self._quota * share:
                _delete(each)
            else:
                total += each.size

    def clear(self) -> int:
        """Delete everything that can be deleted; return how many bytes that were."""
        return sum(map(_delete, self._newest_first()))

    def _newest_first(self) -> list[_Kept]:
        kept = []
        for path in self.folder.iterdir():
            with (
                suppress(FileNotFoundError),  # another process deleted it
                passing_over_bad_places("look into quarantine"),
            ):
                status = path.stat()
                kept.append(_Kept(path, status.st_size, status.st_ctime_ns))
        return sorted(kept, key=lambda each: each.taken_at, reverse=True)


def _delete(kept: _Kept) -> int:
    """Return how many bytes that frees."""
    freed = 0
    with passing_over_bad_places("delete from quarantine"):
        kept.path.unlink(missing_ok=True)
        freed = kept.size
    return freed  # noqa: RET504 - 0 where it was passed over
