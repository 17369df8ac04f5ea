"""The store of one machine: complete blobs, the right to read them, and a bound in bytes.

Bytes and the right to read them are separate: a blob is stored once, however many connections
brought it; a membership says which of them did. Everything here may be done by several processes
at once. Methods without `async` block for some microseconds, or say that they block longer.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from attrs import define, field

from facade.store.file_lock import lock_exclusively
from facade.store.index import Index, Membership
from facade.store.index_file import IndexInUseError
from facade.store.ingest_file import DATA, Announcement, OwnedIngest
from facade.store.layout import FILE_MODE, FlightKey, Layout
from facade.store.stored_blob import RottenBlobError, StoredBlob
from facade.store_metrics import StoreMetrics
from facade.thread_work import finish_in_thread
from shared.oci import Digest, RepositoryName
from shared.structured_log import get_logger

EVICTION_BATCH: Final = 64
EVICTOR_WAIT_SECONDS: Final = 0.05  # until another process has made its room
USES_WRITTEN_EVERY_SECONDS: Final = 5.0
ABANDONED_PARTIAL_SECONDS: Final = 24 * 3600.0  # nobody asked for the rest of it in a day

_log = get_logger("facade.store")


class StoreError(Exception):
    """The cache folder cannot be used; the message says why."""


class NoRoomError(Exception):
    """The quota has no room that may be freed for so many bytes: they are not kept."""


@define(eq=False)
class BlobStore:
    """The open store."""

    layout: Layout
    index: Index
    _max_bytes: int
    _metrics: StoreMetrics
    _uses: dict[Digest, int] = field(factory=dict, init=False)

    @classmethod
    def open(cls, root: Path, max_bytes: int, metrics: StoreMetrics | None = None) -> Self:
        """Open or make the store, and forget what was abandoned. Blocks; raises `StoreError`."""
        layout, metrics = Layout(root), metrics or StoreMetrics.of_nobody()
        try:
            layout.prepare()
            index = Index.open(layout.index, layout.quarantine, metrics)
            store = cls(layout, index, max_bytes, metrics)
            store.reconcile()
        except OSError as error:
            raise StoreError(f"the cache folder cannot be used: {error.strerror}") from error
        except IndexInUseError as error:
            raise StoreError(f"the cache folder cannot be used: {error}") from error
        except sqlite3.Error as error:
            raise StoreError("the cache folder's index cannot be used") from error
        return store

    def close(self) -> None:
        """Write what was used, and close the index. Blocks."""
        self.write_uses()
        self.index.close()

    def open_blob(self, digest: Digest) -> StoredBlob | None:
        """Open a complete blob; None where it is not stored, or rotten and now quarantined."""
        try:
            blob = StoredBlob.open(digest, self.layout.blob(digest), self.layout.checksums(digest))
        except RottenBlobError as error:
            self.quarantine(digest, str(error))
            return None
        if blob is not None:
            self._uses[digest] = self._uses.get(digest, 0) + 1
        return blob

    def has(self, digest: Digest) -> bool:
        """Tell whether a complete blob is stored."""
        return self.layout.blob(digest).exists()

    def may_read(self, key: FlightKey, repository: RepositoryName) -> Membership | None:
        """Return the right to read a digest through a repository of a connection."""
        return self.index.membership(key, repository)

    def quarantine(self, digest: Digest, reason: str) -> None:
        """Take a rotten blob out of service; it is fetched again when it is asked for."""
        _log.error("stored blob is rotten, quarantined", digest=digest, reason=reason)
        target = self.layout.quarantine / f"{digest.algorithm}-{digest.hex}-{time.time_ns()}"
        with contextlib.suppress(FileNotFoundError):
            self.layout.blob(digest).rename(target)
        self.layout.checksums(digest).unlink(missing_ok=True)
        self.index.removed(digest)

    def commit(self, ingest: OwnedIngest, key: FlightKey, checksums: bytes, length: int) -> None:
        """Keep a proven arrival. Blocks while the disk writes; raises `OSError`."""
        digest = key.digest
        ingest.commit(self.layout.blob(digest), self.layout.checksums(digest), checksums)
        self.index.added(digest, length)

    async def make_room(self, length: int, claim: Callable[[], None]) -> None:
        """Evict until so many bytes more fit, and claim them before anybody else can.

        Raises `NoRoomError` where they cannot fit, and `OSError`.
        """
        if length > self._max_bytes:
            raise NoRoomError
        while not await finish_in_thread(self._as_evictor, lambda: self._make_room(length, claim)):  # noqa: ASYNC110 - another process evicts, and tells nobody
            await asyncio.sleep(EVICTOR_WAIT_SECONDS)

    def relieve_disk(self, length: int) -> None:
        """Evict so many bytes, because the disk is fuller than the quota knows. Blocks.

        Raises `NoRoomError` where there is nothing to evict, and `OSError`.
        """
        while not self._as_evictor(lambda: self._evict(length)):
            time.sleep(EVICTOR_WAIT_SECONDS)

    async def keep_uses(self) -> None:
        """Write what is used, every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(USES_WRITTEN_EVERY_SECONDS)
            await asyncio.to_thread(self.write_uses)

    def write_uses(self) -> None:
        """Write what was used since the last time. Blocks."""
        uses, self._uses = self._uses, {}
        if uses:
            self.index.used(uses)

    def reconcile(self) -> None:
        """Make the index agree with the files, and drop what was abandoned. Blocks."""
        indexed = {each.digest for each in self.index.least_used(-1)}
        present = set()
        for path in self.layout.blobs.glob("*/*/*"):
            if path.suffix:  # checksums
                continue
            digest = Digest.parse(f"{path.parent.parent.name}:{path.name}")
            present.add(digest)
            if digest not in indexed:
                self.index.added(digest, path.stat().st_size)
        for digest in indexed - present:
            self.index.removed(digest)
        self._drop_partials(idle_seconds=ABANDONED_PARTIAL_SECONDS)

    def _drop_partials(self, *, idle_seconds: float) -> int:
        """Drop what nobody writes and nobody wrote for so long; return the bytes that frees."""
        freed, newest = 0, time.time() - idle_seconds
        for folder in self.layout.ingest.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if (folder / DATA).stat().st_mtime > newest:
                    continue
                announced, owned = Announcement.read(folder), OwnedIngest.acquire(folder)
                if owned is not None:
                    owned.discard()
                    freed += announced.length if announced else 0
        return freed

    def _as_evictor(self, evict: Callable[[], None]) -> bool:
        """Evict as the only evictor of the machine; False where another process does so now."""
        descriptor = os.open(
            self.layout.root / "evictor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE
        )
        try:
            if not lock_exclusively(descriptor):
                return False
            evict()
        finally:
            os.close(descriptor)
        return True

    def _make_room(self, length: int, claim: Callable[[], None]) -> None:
        self._evict(self.index.stored_bytes() + self._arriving_bytes() + length - self._max_bytes)
        claim()

    def _evict(self, excess: int) -> None:
        if excess > 0:
            excess -= self._drop_partials(idle_seconds=ABANDONED_PARTIAL_SECONDS)
        candidates = self.index.least_used(EVICTION_BATCH if excess > 0 else 0)
        skipped = 0
        while excess > 0:
            if skipped == len(candidates):
                candidates = self.index.least_used(skipped + EVICTION_BATCH)
                if skipped == len(candidates):
                    excess -= self._drop_partials(idle_seconds=0)
                    if excess > 0:
                        raise NoRoomError
                    return
            candidate = candidates[skipped]
            if self._remove_unused(candidate.digest):
                excess -= candidate.size
                candidates.pop(skipped)
            else:
                skipped += 1

    def _remove_unused(self, digest: Digest) -> bool:
        """Remove a blob, unless somebody has it open."""
        path = self.layout.blob(digest)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            self.index.removed(digest)
            return True
        try:
            if not lock_exclusively(descriptor):
                return False
            self.layout.checksums(digest).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            self.index.removed(digest)
        finally:
            os.close(descriptor)
        _log.info("blob evicted", digest=digest)
        return True

    def _arriving_bytes(self) -> int:
        """Return what will have come when all that arrives is there."""
        announced = map(Announcement.read, self.layout.ingest.iterdir())
        return sum(each.length for each in announced if each is not None)
