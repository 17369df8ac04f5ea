"""A blob while it arrives, as its readers see it: how far they may read, and the bytes.

The last piece is held back until digest and length agree, whichever process finds that out.
"""

import asyncio
import math
from pathlib import Path
from typing import Final, Protocol

from attrs import define, field

from facade.arrivals.arrival_state import ArrivalMachine
from facade.errors import PullError
from facade.loop.thread_work import close_in_thread, finish_in_thread
from facade.store.arriving_file import ArrivingFile
from facade.store.cached_open import AT_ONCE
from facade.store.ingest_file import FollowedIngest
from facade.store.inode import Inode
from facade.store.page_cache_read import READ_BYTES
from facade.store.shared_pieces import BlobReaders
from facade.values.piece import PIECE_BYTES, Piece
from shared.oci import RepositoryName

POLL_SECONDS: Final = 0.02  # another process does not tell of its progress, so it is looked at


class ArrivalEndedError(PullError):
    """The blob will not arrive in this way. Its `__cause__` is what happened, if that is known."""

    def __str__(self) -> str:
        """Say what happened."""
        return str(self.__cause__ or super().__str__() or "the blob stopped arriving")


class OwnerDiedError(ArrivalEndedError):
    """The process that brought the blob is gone. Somebody has to take over."""


class StoreGaveUpError(ArrivalEndedError):
    """The store takes no more of it. What came can be read; only upstream has the rest."""


class Arrival(Protocol):
    """An arriving blob."""

    @property
    def length(self) -> int | None:
        """Bytes of the whole blob; None until it is proven, if the registry does not tell."""

    @property
    def reached(self) -> int:
        """Bytes that have come, counted in whole pieces with checksums."""

    @property
    def repository(self) -> RepositoryName:
        """The repository through which upstream gives it."""

    @property
    def inode(self) -> Inode:
        """The growing file. A new attempt has another one."""

    def want(self, end: int | None) -> None:
        """Note that a reader wants the bytes before `end`; None: all there are."""

    async def readable_beyond(self, offset: int) -> int:
        """Wait until bytes after `offset` may be sent; return the end of what may be.

        Raises `ArrivalEndedError` if they will not come, or were wrong, and `OSError`.
        """

    def read_nowait(self, offset: int, count: int) -> Piece | None:
        """Return at most `count` bytes that may be sent; None if the read would have to wait.

        Raises `OSError`, also if the bytes are not what came.
        """

    async def read(self, offset: int, count: int) -> memoryview:
        """Return `count` bytes that may be sent; raise `OSError` as `read_nowait` does."""


@define(eq=False)
class Progress:
    """How far a download of this process has come. Its readers are told."""

    file: ArrivingFile
    repository: RepositoryName
    machine: ArrivalMachine  # of its flight, which alone advances it, and then tells
    readers: BlobReaders = field(factory=BlobReaders)
    reached: int = field(init=False)
    # Bytes of the beginning that readers want; infinite: all of them.
    wanted: float = field(default=0, init=False)
    _moved: asyncio.Event = field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with what a dead process left."""
        self.reached = self.file.checked

    @property
    def length(self) -> int | None:
        """Bytes of the whole blob."""
        return self.file.length

    @property
    def inode(self) -> Inode:
        """The file that grows."""
        return self.file.inode

    def want(self, end: int | None) -> None:
        """Note how far a reader wants it."""
        self.wanted = max(self.wanted, math.inf if end is None else end)

    def advance(self) -> None:
        """Note that more has come."""
        self.reached = self.file.checked
        self.tell()

    async def readable_beyond(self, offset: int) -> int:
        """Wait as `Arrival` says."""
        while True:
            is_proven, failure = self.machine.is_proven, self.machine.cause
            limit = _limit(self.reached, self.length, is_proven=is_proven)
            if limit > offset or is_proven:
                return limit
            if isinstance(failure, StoreGaveUpError):
                raise StoreGaveUpError from failure.__cause__
            if failure is not None:
                raise ArrivalEndedError from failure
            await self._moved.wait()

    def read_nowait(self, offset: int, count: int) -> Piece | None:
        """Return bytes of the growing file, to a multiple of `READ_BYTES` at most.

        So readers ask for the same pieces, wherever they began, and share them.
        """
        shared = self.readers.piece_at(offset, count)
        if shared is not None:
            return shared
        piece = self.file.read_nowait(offset, min(count, READ_BYTES - offset % READ_BYTES))
        if piece is not None:
            self.readers.share(offset, piece)
        return piece

    async def read(self, offset: int, count: int) -> memoryview:
        """Return bytes of the growing file."""
        piece = await self.file.read(offset, count)
        if count <= READ_BYTES and self.readers.piece_at(offset, count) is None:
            self.readers.share(offset, piece)
        return piece

    def tell(self) -> None:
        """Let readers look again: more has come, or the state is another one."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


@define(eq=False)
class FollowedArrival:
    """A download of another process, followed through the file system."""

    _ingest: FollowedIngest
    _blob: Path

    @property
    def length(self) -> int | None:
        """Bytes of the whole blob."""
        return self._ingest.file.length

    @property
    def reached(self) -> int:
        """Bytes that have come."""
        return self._ingest.file.checked

    @property
    def repository(self) -> RepositoryName:
        """Through which upstream gives it."""
        return self._ingest.announced.repository

    @property
    def inode(self) -> Inode:
        """The file that grows."""
        return self._ingest.file.inode

    def want(self, end: int | None) -> None:
        """Note nothing: the other process goes on for its own readers."""

    async def readable_beyond(self, offset: int) -> int:
        """Wait as `Arrival` says."""
        while True:
            # In this order: if it was proven before, it cannot have been discarded since.
            file = self._ingest.file
            if is_proven := await self._is_proven():
                file.end()
            limit = _limit(file.checked, file.length, is_proven=is_proven)
            if is_proven or limit > offset:
                return limit
            if file.is_unlinked:
                # The disk was full, or the bytes were wrong. Who goes on with upstream's bytes
                # hashes all of them.
                raise StoreGaveUpError
            if not file.has_owner and not await self._is_proven():
                raise OwnerDiedError
            await asyncio.sleep(POLL_SECONDS)

    async def _is_proven(self) -> bool:
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
        close_in_thread(ArrivingFile.close, self._ingest.file)


def _limit(reached: int, length: int | None, *, is_proven: bool) -> int:
    """Return the end of what may be sent: without the last piece until the blob is proven."""
    end = reached if length is None else length
    return end if is_proven else min(reached, end - PIECE_BYTES)
