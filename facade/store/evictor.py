"""Makes room: one evictor at a time on a machine, least recently used first, nothing that is open.

What counts toward the quota: complete blobs, what arrives as long as it will be, what dead owners
left, what rotted, and an index that has grown beyond what a quota is rounded to.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from attrs import frozen

from facade.store.bad_place import is_bad_place
from facade.store.file_lock import lock_exclusively
from facade.store.index import Index
from facade.store.index_file import size_of
from facade.store.inode import is_file_at
from facade.store.layout import Layout
from facade.store.partials import RESUMED_WITHIN_SECONDS, Partials
from facade.store.quarantine import Quarantine
from shared.oci import Digest
from shared.own_files import open_own
from shared.structured_log import get_logger

EVICTION_BATCH: Final = 64
EVICTOR_WAIT_SECONDS: Final = 0.05  # until another process has made its room
MAX_BAD_PLACES: Final = 16  # blobs that cannot be removed; beyond, it is the disk that fails
FREE_INDEX_BYTES: Final = 64 * 1024 * 1024  # of some 200,000 memberships; beyond it counts

_log = get_logger("facade.store")


class NoRoomError(Exception):
    """The quota has no room that may be freed for so many bytes: they are not kept."""


@frozen
class Evictor:
    """Keeps the store within its quota. Everything blocks."""

    _layout: Layout
    _index: Index
    _partials: Partials
    _quarantine: Quarantine
    _max_bytes: int

    def try_make_room(self, length: int, claim: Callable[[], None]) -> bool:
        """Evict until so many bytes more fit, and claim them; False where another process evicts.

        Raises `NoRoomError` where they cannot fit, and `OSError`.
        """
        return self._is_done_alone(lambda: self._make_room(length, claim))

    def make_room(self, length: int, claim: Callable[[], None]) -> None:
        """Do as `try_make_room` does, and wait for another process that evicts."""
        self.as_only_one(lambda: self._make_room(length, claim))

    def relieve_disk(self, length: int) -> None:
        """Free so many bytes, because the disk is fuller than the quota knows.

        Raises `NoRoomError` where there is nothing to free, and `OSError`.
        """
        self.as_only_one(lambda: self._relieve(length))

    def as_only_one(self, act: Callable[[], None]) -> None:
        """Do something while nobody makes room, in any process. Raises what it raises."""
        while not self._is_done_alone(act):
            time.sleep(EVICTOR_WAIT_SECONDS)

    def _is_done_alone(self, act: Callable[[], None]) -> bool:
        descriptor = open_own(self._layout.evictor_lock, os.O_RDWR | os.O_CREAT)
        try:
            if not lock_exclusively(descriptor):
                return False
            act()
        finally:
            os.close(descriptor)
        return True

    def _make_room(self, length: int, claim: Callable[[], None]) -> None:
        fixed = self._fixed_bytes()
        stored = self._index.stored_bytes()
        excess = fixed + stored + length - self._max_bytes
        if excess > 0:
            excess -= self._partials.drop_left(excess, older_than=RESUMED_WITHIN_SECONDS)
        if excess > stored:
            excess -= self._partials.drop_left(excess - stored, older_than=0.0)
        if excess > stored:
            raise NoRoomError  # before anything is evicted in vain
        if self._free(excess) < excess:
            raise NoRoomError
        claim()

    def _relieve(self, length: int) -> None:
        freed = self._quarantine.clear()
        freed += self._free(length - freed)
        if not freed:
            raise NoRoomError

    def _free(self, excess: int) -> int:
        """Free so many bytes, or as many as may go; return how many."""
        freed = self._evict(excess)
        if freed < excess:
            freed += self._partials.drop_left(excess - freed, older_than=0.0)
        return freed

    def _evict(self, excess: int) -> int:
        """Evict until so many bytes are free, or nothing is left that may go; return how many."""
        candidates = self._index.least_used(EVICTION_BATCH) if excess > 0 else []
        freed = skipped = bad = 0
        while freed < excess:
            if skipped == len(candidates):
                candidates = self._index.least_used(skipped + EVICTION_BATCH)
                if skipped == len(candidates):
                    break
            candidate = candidates[skipped]
            try:
                is_removed = self._remove_unused(candidate.digest)
            except OSError as error:
                bad += 1
                if not is_bad_place(error) or bad > MAX_BAD_PLACES:
                    raise
                _log.error("not evicted", digest=candidate.digest, reason=type(error).__name__)
                is_removed = False  # others may go in its stead; whoever reads it puts it aside
            if is_removed:
                freed += candidate.size
                candidates.pop(skipped)
            else:
                skipped += 1
        return freed

    def _remove_unused(self, digest: Digest) -> bool:
        """Remove a blob, unless somebody has it open, or is just keeping it again."""
        path = self._layout.blob(digest)
        try:
            descriptor = open_own(path, os.O_RDWR)
        except FileNotFoundError:
            self._index.removed(digest)  # what a crash left noted: nobody moves one there now
            return True
        try:
            if not lock_exclusively(descriptor) or not is_file_at(descriptor, path):
                return False
            path.unlink(missing_ok=True)
            # In this order: a crash in between leaves no blob without its checksums.
            with suppress(OSError):  # without their blob they are tidied away
                if not path.exists():
                    self._layout.checksums(digest).unlink(missing_ok=True)
            self._index.removed(digest)
        except FileNotFoundError:
            return False
        finally:
            os.close(descriptor)
        _log.info("blob evicted", digest=digest)
        return True

    def _fixed_bytes(self) -> int:
        """Return what counts besides complete blobs."""
        index = max(0, size_of(self._layout.index) - FREE_INDEX_BYTES)
        return self._partials.arriving_bytes() + self._quarantine.stored_bytes() + index
