"""Makes room: one evictor at a time on a machine, least recently used first, nothing that is open.

What counts toward the quota: complete blobs (of very many, their files too), what arrives with the
room that was made for it so far, what dead owners left, what rotted, and an index that has grown
beyond what a quota is rounded to. What a connection may not displace, `shares` says.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from attrs import field, frozen

from facade.store.bad_place import is_bad_place
from facade.store.file_lock import lock_exclusively
from facade.store.index import FILE_BYTES, FREE_FILES, Index, InUseByOthers
from facade.store.index_file import size_of
from facade.store.inode import is_file_at
from facade.store.layout import Layout
from facade.store.partials import RESUMED_WITHIN_SECONDS, Claim, Partials
from facade.store.quarantine import Quarantine
from facade.store.shares import Shares
from facade.store.uses import Uses
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
class Asker:
    """For whom room is made."""

    access_key: str | None = None  # of a connection; None: no share is looked at
    can_do_without: bool = False  # nobody is asked to make way


NOBODY_IN_PARTICULAR: Final = Asker()


@frozen
class Evictor:
    """Keeps the store within its quota. Everything blocks."""

    _layout: Layout
    _index: Index
    _partials: Partials
    _quarantine: Quarantine
    _uses: Uses
    _max_bytes: int
    _shares: Shares = field(init=False)

    @_shares.default
    def _shares_of_index(self) -> Shares:
        return Shares(self._index)

    def try_make_room(self, length: int, claim: Callable[[], None], asker: Asker) -> bool:
        """Evict until so many bytes more fit, and claim them; False where another process evicts.

        Raises `NoRoomError` where they cannot fit, and `OSError`.
        """
        return self._is_done_alone(lambda: self._make_room(length, claim, asker))

    def make_room(self, length: int, claim: Callable[[], None], asker: Asker) -> None:
        """Do as `try_make_room` does, and wait for another process that evicts."""
        self.as_only_one(lambda: self._make_room(length, claim, asker))

    def try_admit(self, whole: int, first: int, claim: Callable[[int], None], asker: Asker) -> bool:
        """Claim room for what begins to arrive; False where another process evicts.

        Nothing is evicted yet: `claim` is told how much of `first` is free. Raises `NoRoomError`
        where `whole` bytes cannot fit whatever is evicted, and `OSError`.
        """
        return self._is_done_alone(lambda: self._admit(whole, first, claim, asker))

    def relieve_disk(self, length: int, asker: Asker) -> None:
        """Free so many bytes, because the disk is fuller than the quota knows.

        Raises `NoRoomError` where there is nothing to free, and `OSError`.
        """
        self.as_only_one(lambda: self._relieve(length, asker))

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

    def _admit(self, whole: int, first: int, claim: Callable[[int], None], asker: Asker) -> None:
        self._uses.write()
        claims = self._partials.claims()
        self._partials.drop_too_many(claims)
        fixed = self._fixed_bytes(claims)
        with self._told_to_make_way(whole, asker, claims):
            self._require_possible(whole, asker, claims, fixed)
        free = self._max_bytes - fixed - self._index.stored_bytes()
        claim(max(0, min(first, free)))

    def _require_possible(
        self, whole: int, asker: Asker, claims: Sequence[Claim], fixed: int
    ) -> None:
        left = sum(each.size for each in claims if not each.is_owned)  # would go
        if fixed - left + whole > self._max_bytes or not self._shares.is_within_most(
            asker.access_key, whole, claims, self._max_bytes
        ):
            raise NoRoomError

    def _make_room(self, length: int, claim: Callable[[], None], asker: Asker) -> None:
        claims = self._partials.claims()
        fixed, stored = self._fixed_bytes(claims), self._index.stored_bytes()
        excess = fixed + stored + length - self._max_bytes
        if excess > 0:
            excess -= self._partials.drop_left(excess, older_than=RESUMED_WITHIN_SECONDS)
        if excess > 0:
            with self._told_to_make_way(length, asker, claims):
                self._evict_for(asker, length, excess, claims, stored)
        claim()

    @contextmanager
    def _told_to_make_way(
        self, length: int, asker: Asker, claims: Sequence[Claim]
    ) -> Iterator[None]:
        """If there is no room, have arrivals make way that may be asked to."""
        try:
            yield
        except NoRoomError:
            if not asker.can_do_without:
                self._shares.ask_to_make_way(length, asker.access_key, claims, self._max_bytes)
            raise

    def _evict_for(
        self, asker: Asker, length: int, excess: int, claims: Sequence[Claim], stored: int
    ) -> None:
        self._uses.write()
        spared = self._shares.spared(asker.access_key, length, claims, self._max_bytes)
        evictable = stored - (self._shares.of_others(spared) if spared else 0)
        if excess > evictable:
            excess -= self._partials.drop_left(excess - evictable, older_than=0.0)
        if excess > evictable:
            raise NoRoomError  # before anything is evicted in vain
        if self._free(excess, spared) < excess:
            raise NoRoomError

    def _relieve(self, length: int, asker: Asker) -> None:
        freed = self._quarantine.clear()
        claims, stored = self._partials.claims(), self._index.stored_bytes()
        self._uses.write()
        capacity = stored + self._fixed_bytes(claims)  # the disk has no more
        spared = self._shares.spared(asker.access_key, 0, claims, capacity)
        freed += self._free(length - freed, spared)
        if not freed:
            raise NoRoomError

    def _free(self, excess: int, spared: InUseByOthers | None) -> int:
        """Free so many bytes, or as many as may go; return how many."""
        freed = self._evict(excess, spared)
        if freed < excess:
            freed += self._partials.drop_left(excess - freed, older_than=0.0)
        return freed

    def _evict(self, excess: int, spared: InUseByOthers | None) -> int:
        """Evict until so many bytes are free, or nothing is left that may go; return how many."""
        candidates = self._index.least_used(EVICTION_BATCH, spared) if excess > 0 else []
        blobs = self._index.stored_blobs()
        freed = skipped = bad = 0
        while freed < excess:
            if skipped == len(candidates):
                candidates = self._index.least_used(skipped + EVICTION_BATCH, spared)
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
                freed += candidate.size + (FILE_BYTES if blobs > FREE_FILES else 0)
                blobs -= 1
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

    def _fixed_bytes(self, claims: Sequence[Claim]) -> int:
        """Return what counts besides complete blobs."""
        index = max(0, size_of(self._layout.index) - FREE_INDEX_BYTES)
        return sum(each.size for each in claims) + self._quarantine.stored_bytes() + index
