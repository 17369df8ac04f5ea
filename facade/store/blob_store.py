"""The store of one machine: complete blobs, and a bound in bytes.

A blob is stored once, however many connections brought it; who may read it is kept apart from the
bytes (`facade/rights`). Several processes may do everything here at once.
Methods without `async` block for some microseconds, unless they say that they block.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self
from weakref import WeakValueDictionary

from attrs import define, field

from facade.errors import UnusableSettingError
from facade.loop.thread_work import (
    finish,
    finish_in_thread,
    in_store_thread,
    open_in_thread,
)
from facade.metrics.store_metrics import FOUND_BY_READ, StoreMetrics
from facade.store.cached_open import AT_ONCE, WAITING, Opening, open_cached
from facade.store.catalogue import Catalogue
from facade.store.evictor import NOBODY_IN_PARTICULAR, Asker, Evictor, NoRoomError, Wanted
from facade.store.failing_sector import is_bad_place
from facade.store.index import Index, IndexFailedError
from facade.store.index_file import IndexInUseError
from facade.store.ingest_file import OwnedIngest, sync_folder
from facade.store.layout import Layout
from facade.store.partials import Partials
from facade.store.piece_checksums import PieceChecksums
from facade.store.quarantine import Quarantine
from facade.store.room_queue import RoomQueue, nothing_to_look_at
from facade.store.shared_pieces import BlobReaders, RecentReads
from facade.store.stored_blob import RottenBlobError, StoredBlob, StoredFile
from facade.store.upkeep import StoreUpkeep
from facade.store.uses import Uses
from shared.oci import Digest
from shared.structured_log import get_logger

__all__ = ["Asker", "BlobStore", "CacheFolderError", "NoRoomError"]

MAX_UNREAD: Final = 64  # noted until somebody opens them: 1 KiB each at most

_log = get_logger("facade.store")


class CacheFolderError(UnusableSettingError):
    """The cache folder cannot be used; the message says why."""


@define(eq=False)
class BlobStore:
    """The open store."""

    layout: Layout
    index: Index
    catalogue: Catalogue
    metrics: StoreMetrics
    _room: RoomQueue
    _quarantine: Quarantine
    _uses: Uses
    upkeep: StoreUpkeep
    _checksums: WeakValueDictionary[Digest, PieceChecksums] = field(
        factory=WeakValueDictionary, init=False
    )
    _readers: WeakValueDictionary[Digest, BlobReaders] = field(
        factory=WeakValueDictionary, init=False
    )
    _recent: RecentReads = field(factory=RecentReads, init=False)
    _unread: dict[Digest, str] = field(factory=dict, init=False)  # and why; until it is opened next

    @classmethod
    def open(cls, root: Path, max_bytes: int, metrics: StoreMetrics | None = None) -> Self:
        """Open or make the store, and forget what was abandoned. Blocks.

        Raises `CacheFolderError`.
        """
        layout, metrics = Layout(root), metrics or StoreMetrics.of_nobody()
        partials, quarantine = Partials(layout.ingest), Quarantine(layout.quarantine, max_bytes)
        try:
            layout.prepare()
            index = Index.open(layout.index, layout.quarantine, metrics)
            catalogue = Catalogue(index)
            uses = Uses(catalogue)
            evictor = Evictor(layout, catalogue, partials, quarantine, uses, max_bytes, metrics)
            room = RoomQueue(layout.evictor_lock, evictor, index)
            upkeep = StoreUpkeep(layout, index, catalogue, partials, quarantine, uses, evictor)
            store = cls(layout, index, catalogue, metrics, room, quarantine, uses, upkeep)
            metrics.limit.set(max_bytes)
            upkeep.tidy()
        except (IndexFailedError, IndexInUseError) as error:
            raise CacheFolderError(f"FACADE_CACHE_DIR cannot be used: {error}") from error
        except OSError as error:
            raise CacheFolderError(f"FACADE_CACHE_DIR cannot be used: {error.strerror}") from error
        except sqlite3.Error as error:
            raise CacheFolderError("FACADE_CACHE_DIR cannot be used: its index fails") from error
        return store

    def close(self) -> None:
        """Write what was used, and close the index. Blocks."""
        self.upkeep.write_uses()
        self.index.close()

    async def open_blob(self, digest: Digest) -> StoredBlob | None:
        """Open a complete blob; None if it is not stored, or was rotten and is now in quarantine.

        None also if it cannot be opened: then it is fetched again, and replaced. If the kernel has
        the files in its memory, this does not wait for a thread.
        """
        if (why_unread := self._unread.pop(digest, None)) is not None:
            await finish_in_thread(self.quarantine, digest, why_unread)
            return None
        try:
            try:
                file = self._open(digest, AT_ONCE)
            except BlockingIOError:
                file = await open_in_thread(self._open, _close, digest, WAITING)
        except RottenBlobError as error:
            await finish_in_thread(self.quarantine, digest, str(error))
            return None
        except OSError as error:
            await self._note_unopened(digest, error)
            return None
        return None if file is None else self._opened(digest, file)

    def open_nowait(self, digest: Digest) -> StoredBlob | None:
        """Open a complete blob; None if only `open_blob` can tell what is the matter with it."""
        try:
            file = self._open(digest, AT_ONCE)
        except (RottenBlobError, OSError):
            return None
        return None if file is None else self._opened(digest, file)

    def note_unread(self, digest: Digest, reason: str) -> None:
        """Note that reading it failed where nobody could wait: `open_blob` puts it in quarantine.

        Of more than `MAX_UNREAD` the others are read again.
        """
        if len(self._unread) < MAX_UNREAD:
            self._unread[digest] = reason

    def _opened(self, digest: Digest, file: StoredFile) -> StoredBlob:
        readers = self._readers.setdefault(digest, self.new_readers())
        blob = StoredBlob.of(digest, file, readers)
        blob.share_checksums(self._checksums)
        self.note_use(digest)
        return blob

    def _open(self, digest: Digest, opening: Opening) -> StoredFile | None:
        layout = self.layout
        return StoredFile.open(layout.blob_path(digest), layout.checksums_path(digest), opening)

    def new_readers(self) -> BlobReaders:
        """Return a group of readers, still empty, who share pieces within the common bound."""
        return BlobReaders(self._recent)

    async def _note_unopened(self, digest: Digest, error: OSError) -> None:
        if is_bad_place(error):
            await finish_in_thread(self.quarantine, digest, "it cannot be opened")
        else:  # too many open files, say: the blob may be as good as ever
            _log.warning("stored blob not opened", digest=digest, reason=type(error).__name__)

    def note_use(self, digest: Digest) -> None:
        """Count a use. What is used least is evicted first."""
        self._uses.note(digest)

    async def holds(self, digest: Digest) -> bool:
        """Tell whether a complete blob is stored. Asks as `open_blob` does."""
        try:
            os.close(open_cached(self.layout.blob_path(digest)))
        except FileNotFoundError:
            return False
        except OSError:  # the disk has to be asked, or has failed
            return await in_store_thread(self.has, digest)
        return True

    def has(self, digest: Digest) -> bool:
        """Tell whether a complete blob is stored, as far as the disk says. Blocks."""
        try:
            return self.layout.blob(digest).exists()
        except OSError:  # then it cannot be read either, and is fetched again
            return False

    def lacks_nowait(self, digest: Digest) -> bool:
        """Tell whether it surely stores no such blob; False if the disk has to be asked."""
        try:
            os.close(open_cached(self.layout.blob_path(digest)))
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return False

    def can_open(self, digest: Digest) -> bool:
        """Tell whether a complete blob is stored and can be opened. Blocks."""
        try:
            file = self._open(digest, WAITING)
        except (RottenBlobError, OSError):  # `open_blob` says so
            return False
        _close(file)
        return file is not None

    def quarantine_open(self, blob: StoredBlob, reason: str) -> None:
        """Put an open, rotten blob into quarantine, unless another one has taken its place.

        Blocks.
        """
        try:
            is_still_there = blob.lies_at(self.layout.blob(blob.digest))
        except OSError:  # the disk does not say, so it is fetched again
            is_still_there = True
        if is_still_there:
            self.quarantine(blob.digest, reason)

    def quarantine(self, digest: Digest, reason: str, found_by: str = FOUND_BY_READ) -> bool:
        """Put a rotten blob into quarantine. It is fetched again when it is asked for.

        Its checksums stay: they are replaced, or tidied away as orphans. They may be those of a new
        blob by now. False if it cannot be moved. Blocks.
        """
        _log.error("stored blob is rotten, quarantined", digest=digest, reason=reason)
        self.metrics.rotten.labels(found_by).inc()
        try:
            self._quarantine.take(self.layout.blob(digest), f"{digest.algorithm}-{digest.hex}")
        except OSError as error:  # a read-only disk: the blob is found rotten again the next time
            _log.error("not quarantined", digest=digest, reason=type(error).__name__)
            return False
        self._note_what_is_there(digest)
        return True

    def _note_what_is_there(self, digest: Digest) -> None:
        """Note a blob if it is there, and forget it if it is not: that is what the quota counts.

        Somebody may store it or take it away meanwhile, and note that earlier. So the disk is asked
        again after each note. If it does not say, tidying does it.
        """
        with suppress(OSError):
            size, is_noted = self._size(digest), False
            while not is_noted:
                if size is None:
                    self.catalogue.removed(digest)
                else:
                    self.catalogue.found(digest, size)
                before, size = size, self._size(digest)
                is_noted = size == before

    def _size(self, digest: Digest) -> int | None:
        try:
            return self.layout.blob(digest).stat().st_size
        except FileNotFoundError:
            return None

    async def commit(self, ingest: OwnedIngest, digest: Digest, length: int) -> None:
        """Store a proven arrival durably, even if this is cancelled. Raises `OSError`.

        Nobody makes room while an arrival becomes a stored blob. It would count twice then, and
        other blobs would be evicted for it.
        """
        await finish(self._commit(ingest, digest, length))

    async def _commit(self, ingest: OwnedIngest, digest: Digest, length: int) -> None:
        await in_store_thread(ingest.sync)
        await self._room.as_only_one(lambda: self._move(ingest, digest, length))
        await in_store_thread(_end_commit, ingest, self.layout.blob(digest).parent)

    def _move(self, ingest: OwnedIngest, digest: Digest, length: int) -> None:
        """Move an arrival to its place.

        It is noted in the index first. After a crash, a blob that is noted but missing is
        forgotten, but one that is there and not noted would stay for ever. Tidying may have
        forgotten it too early, so it is noted again afterwards; if it is still there, because
        whoever finds it rotten may have forgotten it too.
        """
        self.catalogue.added(digest, length)
        try:
            ingest.move(self.layout.blob(digest), self.layout.checksums(digest))
        except OSError:
            if not self.has(digest):  # if it were noted, it would count until somebody evicts it
                self.catalogue.removed(digest)
            raise
        self._note_what_is_there(digest)

    def may_hold(self, length: int) -> bool:
        """Tell whether so many bytes fit into an empty store; whether they do now, `admit` says."""
        return self._room.may_hold(length)

    async def admit(
        self,
        whole: int,
        first: int,
        claim: Callable[[int], None],
        asker: Asker,
        look: Callable[[], None] = nothing_to_look_at,
    ) -> None:
        """Claim room for the first bytes of what begins to arrive, as far as it is free.

        Nothing is evicted. `look` is called before, in a thread. Nobody else claims or stores
        anything between it and `claim`, in any process. Raises what `look` raises, `NoRoomError` if
        `whole` bytes can never fit, and `OSError`.
        """
        await self._room.admit(whole, first, claim, asker, look)

    async def make_room(
        self,
        length: int,
        claim: Callable[[int], None],
        asker: Asker = NOBODY_IN_PARTICULAR,
        ahead: int = 0,
    ) -> None:
        """Evict until so many bytes more fit, and claim them before anybody else can.

        `claim` is told, in a thread, how many bytes are granted: some now and some later, `length`
        in all, and at most `ahead` more. Raises `NoRoomError` if they cannot fit, and `OSError`.
        """
        await self._room.make_room(Wanted(length, length + ahead), claim, asker)

    async def relieve_disk(
        self, length: int, asker: Asker = NOBODY_IN_PARTICULAR, ahead: int = 0
    ) -> None:
        """Free so many bytes, because the disk is fuller than the quota knows.

        `ahead`: so many more bytes may be evicted with them. Raises `NoRoomError` if there is
        nothing to free, and `OSError`.
        """
        await self._room.relieve_disk(length, length + ahead, asker)

    async def keep_spare(self) -> None:
        """Make room ahead of what comes next, until cancelled."""
        await self._room.keep_spare()


def _end_commit(ingest: OwnedIngest, folder: Path) -> None:
    sync_folder(folder)
    ingest.release()


def _close(file: StoredFile | None) -> None:
    if file is not None:
        file.close()
