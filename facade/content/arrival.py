"""A blob while it arrives, as those see it who read along: how far they may go, and the bytes.

The last piece is held back until digest and length agree, in whichever process that is found out.
"""

import asyncio
from pathlib import Path
from typing import Final, Protocol

from attrs import define, field

from facade.content.held_back import PIECE_BYTES
from facade.content.source import Piece
from facade.store.cached_read import READ_BYTES, read_at, read_now
from facade.store.ingest_file import FollowedIngest
from facade.store.inode import Inode, inode_of
from facade.store.recent_reads import BlobReaders
from shared.oci import RepositoryName

POLL_SECONDS: Final = 0.02  # another process's progress is looked at, not told


class ArrivalEndedError(Exception):
    """The blob will not arrive this way; its cause is what happened, where that is known."""

    def __str__(self) -> str:
        """Say what happened."""
        return str(self.__cause__ or super().__str__() or "the blob stopped arriving")


class OwnerDiedError(ArrivalEndedError):
    """The process that brought the blob is gone: somebody has to take over."""


class StoreGaveUpError(ArrivalEndedError):
    """The store takes no more of it: what came can be read, the rest only upstream has."""


class Arrival(Protocol):
    """An arriving blob of a known length."""

    @property
    def length(self) -> int:
        """Bytes of the whole blob."""

    @property
    def reached(self) -> int:
        """Bytes that have come."""

    @property
    def repository(self) -> RepositoryName:
        """Through which upstream gives it."""

    @property
    def inode(self) -> Inode:
        """The file that grows: a new attempt has another one."""

    async def readable_beyond(self, offset: int) -> int:
        """Wait until bytes behind `offset` may be sent; return up to where.

        Raises `ArrivalEndedError` where they will not come, or were wrong.
        """

    def read_now(self, offset: int, count: int) -> Piece | None:
        """Return at most so many bytes that may be sent; None where they have to be waited for.

        Raises `OSError`.
        """

    async def read(self, offset: int, count: int) -> bytes | bytearray:
        """Return bytes that may be sent, fewer only at the file's end; raise `OSError`."""


@define(eq=False)
class Progress:
    """How far a download of this process has come; those who wait are told."""

    descriptor: int
    length: int
    repository: RepositoryName
    reached: int = 0
    readers: BlobReaders = field(factory=BlobReaders)
    proven: bool = False
    failure: BaseException | None = None
    _moved: asyncio.Event = field(factory=asyncio.Event, init=False)

    @property
    def inode(self) -> Inode:
        """The file that grows."""
        return inode_of(self.descriptor)

    def move_by(self, count: int) -> None:
        """Note that so many bytes more have come."""
        self.reached += count
        self._tell()

    def prove(self) -> None:
        """Let readers through to the end."""
        self.proven = True
        self._tell()

    def fail(self, failure: BaseException) -> None:
        """Tell readers that no more will come."""
        self.failure = failure
        self._tell()

    async def readable_beyond(self, offset: int) -> int:
        """Wait as `Arrival` says."""
        while True:
            limit = self.length if self.proven else min(self.reached, self.length - PIECE_BYTES)
            if limit > offset or self.proven:
                return limit
            if isinstance(self.failure, StoreGaveUpError):
                raise StoreGaveUpError from self.failure.__cause__
            if self.failure is not None:
                raise ArrivalEndedError from self.failure
            await self._moved.wait()

    def read_now(self, offset: int, count: int) -> Piece | None:
        """Return bytes of the growing file, to a multiple of `READ_BYTES` at most.

        So those who read beside each other ask for the same pieces, wherever they began.
        """
        shared = self.readers.piece_at(offset, count)
        if shared is not None:
            return shared
        content = read_now(self.descriptor, offset, min(count, READ_BYTES - offset % READ_BYTES))
        if content is None:
            return None
        piece = memoryview(content)
        self.readers.share(offset, piece)
        return piece

    async def read(self, offset: int, count: int) -> bytes | bytearray:
        """Return bytes of the growing file."""
        return await read_at(self.descriptor, offset, count)

    def _tell(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


@define(eq=False)
class FollowedArrival:
    """A download of another process, followed through the file system."""

    _ingest: FollowedIngest
    _blob: Path

    @property
    def length(self) -> int:
        """Bytes of the whole blob."""
        return self._ingest.announced.length

    @property
    def reached(self) -> int:
        """Bytes that have come."""
        return self._ingest.size

    @property
    def repository(self) -> RepositoryName:
        """Through which upstream gives it."""
        return self._ingest.announced.repository

    @property
    def inode(self) -> Inode:
        """The file that grows."""
        return inode_of(self._ingest.descriptor)

    async def readable_beyond(self, offset: int) -> int:
        """Wait as `Arrival` says."""
        while True:
            # In this order: what was proven first cannot have been discarded since.
            if self._ingest.is_proven(self._blob):
                return self.length
            limit = min(self._ingest.size, self.length - PIECE_BYTES)
            if limit > offset:
                return limit
            if self._ingest.is_discarded:
                # For a full disk or for wrong bytes: whoever goes on with upstream's hashes all.
                raise StoreGaveUpError
            if not self._ingest.has_owner and not self._ingest.is_proven(self._blob):
                raise OwnerDiedError
            await asyncio.sleep(POLL_SECONDS)

    def read_now(self, offset: int, count: int) -> Piece | None:
        """Return bytes of the growing file."""
        return read_now(self._ingest.descriptor, offset, count)

    async def read(self, offset: int, count: int) -> bytes | bytearray:
        """Return bytes of the growing file."""
        return await read_at(self._ingest.descriptor, offset, count)

    def close(self) -> None:
        """Close the file."""
        self._ingest.close()
