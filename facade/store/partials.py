"""Blobs that are not complete: some are arriving, some were left by a dead owner."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from facade.store.announcement import Announcement
from facade.store.arriving_file import DATA
from facade.store.failing_sector import passing_over_bad_places
from facade.store.file_lock import is_locked
from facade.store.ingest_file import SLOW, WAY, OwnedIngest
from facade.store.inode import allocated_bytes
from shared.own_files import open_own

RESUMED_WITHIN_SECONDS: Final = 3600.0  # after a restart, say; then blobs are worth more
# Left by dead owners and by devices that left early. If there are more, the oldest go. A restart
# leaves fewer, and whoever makes room looks at each of them.
MAX_LEFT: Final = 512
ABANDONED_SECONDS: Final = 24 * 3600.0  # nobody asked for the rest in a day


@frozen
class Claim:
    """What one partial takes of the quota."""

    folder: Path
    size: int  # bytes that are there, or, while it arrives, for which room was made
    is_owned: bool  # whether it arrives; if not, a dead owner left it
    access_key: str | None = None  # of the connection that it is brought through
    is_slow: bool = False
    makes_way: bool = False  # it was asked to
    announced: int = 0  # bytes for which room was made, also for an owner that is dead

    @property
    def most(self) -> int:
        """What it may take without asking for more room, also as soon as somebody takes it over."""
        return max(self.size, self.announced)


@frozen
class Partials:
    """The folder of everything that arrives."""

    folder: Path

    def claims(self) -> list[Claim]:
        """Return what each partial takes, as far as the disk can be read."""
        claims = (_told_claim(folder) for folder in self.folder.iterdir())
        return [each for each in claims if each is not None]

    def drop_left(self, wanted: int, *, older_than: float) -> int:
        """Delete what nobody owns, oldest first, until so many bytes are free; return how many.

        `older_than`: seconds since something came.
        """
        freed, newest = 0, time.time() - older_than
        for touched_at, folder in sorted(self._touched()):
            if freed >= wanted or touched_at > newest:
                break
            freed += _drop(folder)
        return freed

    def drop_too_many(self, claims: Sequence[Claim]) -> None:
        """Delete the oldest of those that nobody owns, if there are more than `MAX_LEFT`."""
        left = {each.folder for each in claims if not each.is_owned}
        too_many = len(left) - MAX_LEFT
        if too_many > 0:
            touched = sorted(each for each in self._touched() if each[1] in left)
            for _, folder in touched[:too_many]:
                _drop(folder)

    def drop_abandoned(self) -> None:
        """Delete partials that nobody asked for in a long time, and empty folders of a crash."""
        oldest = time.time() - ABANDONED_SECONDS
        for touched_at, folder in self._touched():
            if touched_at < oldest:
                _drop(folder)

    def _touched(self) -> list[tuple[float, Path]]:
        """Return when something came last, for each (Unix seconds)."""
        touched = []
        for folder in self.folder.iterdir():
            data = folder / DATA
            with (
                suppress(FileNotFoundError, NotADirectoryError),
                passing_over_bad_places("look at a partial"),
            ):
                touched.append((_mtime(data if data.exists() else folder), folder))
        return touched


def _drop(folder: Path) -> int:
    """Delete what nobody owns in one folder; return how many bytes that frees."""
    freed = 0
    with passing_over_bad_places("drop a partial"):
        owned = OwnedIngest.acquire(folder)
        if owned is not None:
            size = owned.allocated
            owned.discard()
            freed = size
    return freed


def _told_claim(folder: Path) -> Claim | None:
    claim = None
    with (
        suppress(FileNotFoundError, NotADirectoryError),
        passing_over_bad_places("measure a partial"),
    ):
        claim = _claim(folder)
    return claim


def _claim(folder: Path) -> Claim:
    """Look at it. All of the machine wait meanwhile, so few paths are made, which cost the most."""
    descriptor = open_own(f"{folder}/{DATA}", os.O_RDONLY)
    try:
        # In this order: what its owner wrote before it let go is there. While it has not let go,
        # what it wrote is within its room.
        is_owned, size = is_locked(descriptor), allocated_bytes(descriptor)
    finally:
        os.close(descriptor)
    announced = Announcement.read(folder)
    return Claim(
        folder,
        max(size, announced.room if announced and is_owned else 0),
        is_owned=is_owned,
        access_key=announced.access_key if announced else None,
        is_slow=is_owned and (folder / SLOW).exists(),
        makes_way=is_owned and (folder / WAY).exists(),
        announced=announced.room if announced else 0,
    )


def _mtime(path: Path) -> float:
    return path.stat().st_mtime
