"""A blob that another process brings, as a reader of this one sees it."""

import asyncio
from pathlib import Path

from attrs import define, field

from facade.arrivals.arrival import POLL_SECONDS, OwnerDiedError, StoreGaveUpError
from facade.arrivals.marked_ranges import MarkedRanges
from facade.arrivals.want import Ends, Want
from facade.loop.thread_work import close_in_thread, finish_in_thread
from facade.store.cached_open import AT_ONCE
from facade.store.followed_ingest import FollowedIngest
from facade.store.inode import Inode
from facade.values.piece import Piece
from shared.oci import RepositoryName


@define(eq=False)
class FollowedArrival:
    """A download of another process, followed through the file system. For one reader."""

    _ingest: FollowedIngest
    _blob: Path
    _marked: MarkedRanges
    is_proven: bool = field(default=False, init=False)

    @property
    def length(self) -> int | None:
        """Bytes of the whole blob."""
        return self._ingest.file.length

    @property
    def reached(self) -> int:
        """The end of its beginning, as far as that can be told without waiting for the disk."""
        file, reached = self._ingest.file, 0
        while (end := file.run_end_nowait(reached) or reached) > reached:
            reached = end
        return reached

    @property
    def is_wrong(self) -> bool:
        """Whether it was given up: why, only its owner knows."""
        return not self.is_proven and self._ingest.file.is_unlinked

    @property
    def repository(self) -> RepositoryName:
        """Through which upstream gives it."""
        return self._ingest.announced.repository

    @property
    def inode(self) -> Inode:
        """The file that is filled."""
        return self._ingest.file.inode

    def want(self, want: Want) -> None:
        """Tell its owner."""
        self._tell(want)

    def leave(self, want: Want) -> None:
        """Note nothing: with the file, what was told is closed."""

    async def sendable(self, want: Want) -> int:
        """Wait as `Arrival` says."""
        while True:
            # In this order: if it was proven before, it cannot have been discarded since.
            file = self._ingest.file
            self.is_proven = self.is_proven or await self._look_for_proof()
            if self.is_proven:
                file.end()
                return file.length or 0
            is_unlinked = file.is_unlinked
            limit = want.sendable(await self._run_end(want.at), file.allocated, file.length)
            if limit > want.at and not (is_unlinked and want.ends is Ends.WITH_ITS_BYTES):
                return limit
            if is_unlinked:
                # The disk was full, or the bytes were wrong. Who goes on with upstream's bytes
                # hashes all of them.
                raise StoreGaveUpError
            if not file.has_owner and not await self._look_for_proof():
                raise OwnerDiedError
            self._tell(want)
            await asyncio.sleep(POLL_SECONDS)

    async def note_marked(self, device: str) -> None:
        """Note it where its owner finds it."""
        await self._marked.note(device)

    async def _run_end(self, offset: int) -> int:
        come_to = self._ingest.file.run_end_nowait(offset)
        if come_to is None:
            return await finish_in_thread(self._ingest.file.run_end, offset)
        return come_to

    def _tell(self, want: Want) -> None:
        if self._ingest.told is None or self.length is None:
            return
        if want.needs_all:
            self._ingest.told.tell_all()
        else:
            self._ingest.told.tell(want.at, want.wanted_end or self.length)

    async def _look_for_proof(self) -> bool:
        try:
            return self._ingest.is_proven(self._blob, AT_ONCE)
        except BlockingIOError:
            return await finish_in_thread(self._ingest.is_proven, self._blob)

    def read_nowait(self, offset: int, count: int) -> Piece | None:
        """Return bytes of the growing file."""
        return self._ingest.file.read_nowait(offset, count)

    async def read(self, offset: int, count: int) -> memoryview:
        """Return bytes of the growing file."""
        return await self._ingest.file.read(offset, count)

    def close(self) -> None:
        """Close the file."""
        close_in_thread(FollowedIngest.close, self._ingest)
