"""Reads every stored blob again, slowly, and verifies its digest.

A warm read checks the pieces that it touches. What nobody touches rots unseen until somebody needs
it, perhaps while upstream is away. One process of the machine scrubs, beginning with the blob that
was verified the longest ago. When it ends, the next process goes on from there.
"""

import asyncio
import os
import time
from pathlib import Path
from typing import Final

from attrs import define, field

from facade.errors import StoreFailedError
from facade.loop.thread_work import (
    close_in_thread,
    finish_in_thread,
    in_store_thread,
    open_in_thread,
)
from facade.metrics.store_metrics import FOUND_BY_SCRUB
from facade.store.blob_store import BlobStore
from facade.store.failing_sector import is_bad_place
from facade.store.file_lock import lock_exclusively
from facade.store.inode import is_file_at
from shared.oci import Digest, Hasher
from shared.own_files import open_own
from shared.structured_log import get_logger

SCRUB_BYTES_PER_SECOND: Final = 8 * 1024 * 1024  # half a percent of a core; 1 TiB in 36 hours
STEP_BYTES: Final = 1024 * 1024  # a thread's work at a time, some 2 ms
LEAST_COST_BYTES: Final = 64 * 1024  # of a blob, however small, because it is opened and noted
SCRUBBED_EVERY_SECONDS: Final = 7 * 24 * 3600.0
LOOK_SECONDS: Final = 2.0  # for what is due
BATCH_BLOBS: Final = 16  # noted at once

_log = get_logger("facade.store.scrub")


class _GoneError(StoreFailedError):
    """The blob was evicted meanwhile."""


@define(eq=False)
class Scrubber:
    """The scrubber of one process. It rests while another process's is at work."""

    _store: BlobStore
    _bytes_per_second: float = SCRUB_BYTES_PER_SECOND
    _buffer: bytearray = field(factory=lambda: bytearray(STEP_BYTES), init=False)
    _lock: int | None = field(default=None, init=False)

    async def scrub(self) -> None:
        """Scrub what is due, until cancelled."""
        try:
            while True:
                try:
                    worked = await self._is_the_only_one() and await self.scrub_due()
                except OSError as error:
                    _log.warning("not scrubbed", reason=type(error).__name__)
                    worked = False
                if not worked:
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    async def scrub_due(self) -> bool:
        """Verify the blobs that were verified the longest ago; False if none is due.

        Raises `OSError` if neither index nor folder can be read.
        """
        before = time.time() - SCRUBBED_EVERY_SECONDS
        due = await in_store_thread(self._store.catalogue.least_scrubbed, before, BATCH_BLOBS)
        scrubbed = list[Digest]()
        try:
            for blob in due:
                if await self._stays(blob.digest):
                    scrubbed.append(blob.digest)
        finally:
            # Also if it is cancelled, so that the next process does not start again.
            await finish_in_thread(self._store.catalogue.scrubbed, scrubbed)
        return bool(due)

    async def _stays(self, digest: Digest) -> bool:
        """Verify one blob; put a rotten one into quarantine. False if it is gone.

        If a rotten blob cannot be moved, it counts as staying. Otherwise it would be due first for
        ever, and would be read again and again.
        """
        try:
            path = self._store.layout.blob(digest)
            descriptor = await open_in_thread(open_own, os.close, path, os.O_RDONLY)
        except FileNotFoundError:
            await finish_in_thread(self._store.catalogue.removed, digest)
            return False
        except OSError as error:
            if not is_bad_place(error):
                raise
            _log.error("stored blob cannot be opened", digest=digest, reason=type(error).__name__)
            return not await finish_in_thread(
                self._store.quarantine, digest, "it cannot be opened", FOUND_BY_SCRUB
            )
        try:
            return await self._verify(digest, descriptor)
        except _GoneError:
            return False
        finally:
            close_in_thread(os.close, descriptor)

    async def _verify(self, digest: Digest, descriptor: int) -> bool:
        hasher, offset = digest.hasher(), 0
        try:
            while count := await finish_in_thread(self._hash, hasher, descriptor, offset):
                offset += count
                await self._rest(count)
        except OSError as error:
            _log.error("stored blob cannot be read", digest=digest, reason=type(error).__name__)
            return not await finish_in_thread(
                self._quarantine, digest, descriptor, "the disk does not give its bytes"
            )
        await self._rest(max(0, LEAST_COST_BYTES - offset))
        self._store.metrics.scrubbed_bytes.inc(offset)
        if not digest.names(hasher):
            return not await finish_in_thread(
                self._quarantine, digest, descriptor, "the whole is not what the digest names"
            )
        return True

    def _hash(self, hasher: Hasher, descriptor: int, offset: int) -> int:
        """Hash the next step; return how many bytes that were. The file may be evicted. Blocks."""
        if os.fstat(descriptor).st_nlink == 0:
            raise _GoneError
        view = memoryview(self._buffer)
        count = _read_cached(descriptor, view, offset) or _read_passing(descriptor, view, offset)
        hasher.update(view[:count])
        return count

    def _quarantine(self, digest: Digest, descriptor: int, reason: str) -> bool:
        """Put it into quarantine if it is still there; False if it cannot be moved."""
        try:
            is_still_there = is_file_at(descriptor, self._store.layout.blob(digest))
        except FileNotFoundError:
            return True
        return not is_still_there or self._store.quarantine(digest, reason, FOUND_BY_SCRUB)

    async def _rest(self, count: int) -> None:
        await asyncio.sleep(count / self._bytes_per_second)

    async def _is_the_only_one(self) -> bool:
        """Take the machine's lock, or keep it. It ends with the process."""
        if self._lock is None:
            path = self._store.layout.scrub_lock
            self._lock = await open_in_thread(_open_locked, _close, path)
        return self._lock is not None


def _open_locked(path: Path) -> int | None:
    """Return the open file, locked; None if another process has it. Blocks."""
    lock = open_own(path, os.O_RDWR | os.O_CREAT)
    if lock_exclusively(lock):
        return lock
    os.close(lock)
    return None


def _close(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _read_passing(descriptor: int, view: memoryview, offset: int) -> int:
    """Read from the disk without leaving it in the page cache, which devices need for others."""
    count = os.preadv(descriptor, [view], offset)
    os.posix_fadvise(descriptor, offset, count, os.POSIX_FADV_DONTNEED)
    return count


def _read_cached(descriptor: int, view: memoryview, offset: int) -> int:
    """Read what the page cache has, without asking the disk; 0 if that is nothing."""
    try:
        return os.preadv(descriptor, [view], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return 0
    except OSError:  # tmpfs has no RWF_NOWAIT; a real failure will be met again at once
        return 0
