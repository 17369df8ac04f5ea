"""Evicts a batch of stored blobs: the least recently used go first, and none that is open.

A blob that another connection uses is passed over if the asker's share says so (`shares`). A single
file that the disk fails for is passed over, too, and logged.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from attrs import define, field

from facade.metrics.store_metrics import StoreMetrics, WhyEvicted
from facade.store.catalogue import FILE_BYTES, FREE_FILES, Catalogue, InUseByOthers, StoredSize
from facade.store.failing_sector import is_bad_place
from facade.store.file_lock import lock_exclusively
from facade.store.inode import is_file_at
from facade.store.layout import Layout
from facade.store.shares import holds_for
from shared.oci import Digest
from shared.own_files import open_own
from shared.structured_log import get_logger

EVICTION_BATCH: Final = 256  # blobs in a slice, some 20 ms
MAX_BAD_PLACES: Final = 16  # blobs that cannot be removed; if there are more, the disk fails
_FEW, _MANY = 64, 1024  # candidates that the index is asked for at once: many where that takes long

_log = get_logger("facade.store")


@define
class _Order:
    """What is evicted next, as the index said a moment ago."""

    spared: str | None = None  # the connection that asks, for which blobs of others are spared
    candidates: list[StoredSize] = field(factory=list)  # the last one first
    until: float = float("-inf")  # monotonic
    is_slow: bool = False  # whether the index took long for it


@define(eq=False)
class Eviction:
    """What evicts from one store. Everything blocks, and runs once at a time on a machine."""

    _layout: Layout
    _catalogue: Catalogue
    _metrics: StoreMetrics
    _order: _Order = field(factory=_Order, init=False)

    def evict(self, excess: int, spared: InUseByOthers | None, why: WhyEvicted) -> tuple[int, int]:
        """Evict until so many bytes are free, a batch is evicted, or nothing more may be.

        Return how many blobs went, and the bytes that this freed. Raises `OSError`.
        """
        left, gone, bad = self._catalogue.stored_blobs(), list[Digest](), 0
        freed, candidates = 0, self._candidates(spared)
        try:
            while freed < excess and len(gone) < EVICTION_BATCH:
                candidate = next(candidates, None)
                if candidate is None:
                    break
                try:
                    is_removed = self._remove_unused(candidate.digest)
                except OSError as error:
                    bad += 1
                    if not is_bad_place(error) or bad > MAX_BAD_PLACES:
                        raise
                    reason = type(error).__name__
                    _log.error("not evicted", digest=candidate.digest, reason=reason)
                    continue  # others may go instead; whoever reads it puts it aside
                if is_removed:
                    freed += candidate.size + (FILE_BYTES if left - len(gone) > FREE_FILES else 0)
                    gone.append(candidate.digest)
        finally:
            if gone:  # also if the disk failed in the middle
                freed = self._catalogue.evicted(gone)
                self._metrics.evicted.labels(why).inc(freed)
                _log.info("blobs evicted", count=len(gone), bytes=freed)
        return len(gone), freed

    def _candidates(self, spared: InUseByOthers | None) -> Iterator[StoredSize]:
        """Yield what may be evicted, in order, each once."""
        seen = set[Digest]()
        while True:
            order = self._order_now(spared, len(seen))
            count = len(seen)
            while order.candidates:
                candidate = order.candidates.pop()
                if candidate.digest not in seen:
                    seen.add(candidate.digest)
                    yield candidate
            if len(seen) == count:
                return

    def _order_now(self, spared: InUseByOthers | None, seen: int) -> _Order:
        """Return the order as it is now.

        What others use is skipped row by row. If that took long a moment ago, the order of then is
        used, as far as it is known.
        """
        now, key = time.monotonic(), spared.access_key if spared else None
        order = self._order
        if order.spared != key or order.until <= now or not order.candidates:
            limit = seen + (_MANY if order.is_slow or seen else _FEW)
            candidates = self._catalogue.least_used(limit, spared)[::-1]
            took = time.monotonic() - now
            holds = holds_for(took) if spared and len(candidates) == limit else 0.0
            order = self._order = _Order(key, candidates, now + took + holds, is_slow=holds > 0)
        return order

    def _remove_unused(self, digest: Digest) -> bool:
        """Remove a blob's files, unless somebody has it open, or is just keeping it again."""
        path = self._layout.blob(digest)
        try:
            descriptor = open_own(path, os.O_RDWR)
        except FileNotFoundError:
            return True  # a crash left it noted; nobody is moving one there now
        try:
            if not lock_exclusively(descriptor) or not is_file_at(descriptor, path):
                return False
            path.unlink(missing_ok=True)
            # In this order: a crash in between leaves no blob without its checksums.
            with suppress(OSError):  # without their blob they are tidied away
                if not path.exists():
                    self._layout.checksums(digest).unlink(missing_ok=True)
        except FileNotFoundError:
            return False
        finally:
            os.close(descriptor)
        return True
