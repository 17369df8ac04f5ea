"""A blob while it arrives, as those see it who read along: how far they may go, and the bytes.

The last piece is held back until digest and length agree, in whichever process that is found out.
"""

import asyncio
import math
from pathlib import Path
from typing import Final, Protocol

from attrs import define, field

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

POLL_SECONDS: Final = 0.02  # another process's progress is looked at, not told


class ArrivalEndedError(PullError):
    """The blob will not arrive this way; its cause is what happened, where that is known."""

    def __str__(self) -> str:
        """Say what happened."""
        return str(self.__cause__ or super().__str__() or "the blob stopped arriving")


class OwnerDiedError(ArrivalEndedError):
    """The process that brought the blob is gone: somebody has to take over."""


class StoreGaveUpError(ArrivalEndedError):
    """The store takes no more of it: what came can be read, the rest only upstream has."""


class Arrival(Protocol):
    """An arriving blob."""

    @property
    def length(self) -> int | None:
        """Bytes of the whole blob; None until the proof, if the registry does not tell."""

    @property
    def reached(self) -> int:
        """Bytes that have come, in whole checked pieces."""

    @property
    def repository(self) -> RepositoryName:
        """Through which upstream gives it."""

    @property
    def inode(self) -> Inode:
        """The file that grows: a new attempt has another one."""

    def want(self, end: int | None) -> None:
        """Note that a reader wants the bytes before `end`; None: all there are."""

    async def readable_beyond(self, offset: int) -> int:
        """Wait until bytes behind `offset` may be sent; return up to where.

        Raises `ArrivalEndedError` where they will not come, or were wrong, and `OSError`.
        """

    def read_nowait(self, offset: int, count: int) -> Piece | None:
        """Return at most so many bytes that may be sent; None where they have to be waited for.

        Raises `OSError`, also where they are not what came.
        """

    async def read(self, offset: int, count: int) -> memoryview:
        """Return so many bytes that may be sent; raise `OSError` as `read_nowait` does."""


@define(eq=False)
class Progress:
    """How far a download of this process has come; those who wait are told."""

    file: ArrivingFile
    repository: RepositoryName
    readers: BlobReaders = field(factory=BlobReaders)
    proven: bool = False
    failure: BaseException | None = None
    reached: int = field(init=False)
    wanted: float = field(default=0, init=False)  # bytes of the beginning; infinite: all of them
    _moved: asyncio.Event = field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with what a dead owner left."""
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
        self._tell()

    def prove(self) -> None:
        """Let readers through to the end, which is known by now."""
        self.file.end()
        self.proven = True
        self._tell()

    def fail(self, failure: BaseException) -> None:
        """Tell readers that no more will come."""
        self.failure = failure
        self._tell()

    async def readable_beyond(self, offset: int) -> int:
        """Wait as `Arrival` says."""
        while True:
            limit = _limit(self.reached, self.length, is_proven=self.proven)
            if limit > offset or self.proven:
                return limit
            if isinstance(self.failure, StoreGaveUpError):
                raise StoreGaveUpError from self.failure.__cause__
            if self.failure is not None:
                raise ArrivalEndedError from self.failure
            await self._moved.wait()

    def read_nowait(self, offset: int, count: int) -> Piece | None:
        """Return bytes of the growing file, to a multiple of `READ_BYTES` at most.

        So those who read beside each other ask for the same pieces, wherever they began.
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

    def _tell(self) -> None:
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
        """Nothing is noted: the other process goes on for its own readers."""

    async def readable_beyond(self, offset: int) -> int:
        """Wait as `Arrival` says."""
        while True:
            # In this order: what was proven first cannot have been discarded since.
            file = self._ingest.file
            if is_proven := await self._is_proven():
                file.end()
            limit = _limit(file.checked, file.length, is_proven=is_proven)
            if is_proven or limit > offset:
                return limit
            if file.is_unlinked:
                # For a full disk or for wrong bytes: whoever goes on with upstream's hashes all.
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
    """Return up to where bytes may be sent: all but the last piece, as far as that is known."""
    end = reached if length is None else length
    return end if is_proven else min(reached, end - PIECE_BYTES)
