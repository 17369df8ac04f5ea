"""A complete blob of the store, as a pull is answered with it."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from attrs import define, field

from facade.arrivals.arrival import ArrivalEndedError
from facade.content.piece_size import PieceSize, RoomNow, nobody_says
from facade.content.source import Blob, BlobPart
from facade.loop.thread_work import finish_in_thread
from facade.store.blob_store import BlobStore
from facade.store.stored_blob import RottenBlobError, StoredBlob
from facade.values.byte_range import Span
from facade.values.piece import PIECE_BYTES, Piece
from shared.failures import without_frames


class RottenContentError(ArrivalEndedError):
    """The stored blob is rotten, or cannot be read. It is in quarantine now."""


@define(eq=False)
class StoredPieces:
    """The checked pieces of a span of an open blob. For one reader."""

    _store: BlobStore
    _blob: StoredBlob
    _offset: int
    _end: int
    _size: PieceSize = field(factory=lambda: PieceSize(time.monotonic()))
    _first: Piece | None = field(default=None, init=False)  # the next one, if it was read already
    _failure: RottenBlobError | OSError | None = field(default=None, init=False)  # of a read

    def __aiter__(self) -> Self:
        """Return the iterator: itself."""
        return self

    @classmethod
    def at_hand(cls, store: BlobStore, blob: StoredBlob, room_now: RoomNow) -> Self | None:
        """Return the pieces of a whole blob if its beginning is there; else close the blob.

        What is wrong with it is told to whoever opens it next, and can wait.
        """
        size = PieceSize(time.monotonic(), room_now)
        pieces = cls(store, blob, 0, blob.length, size)
        if pieces._has_beginning(PIECE_BYTES):
            return pieces
        if pieces._failure is not None:
            store.note_unread(blob.digest, _why(pieces._failure))
        blob.close()
        return None

    @property
    def left(self) -> int:
        """Bytes that were not given yet."""
        return self._end - self._offset

    @property
    def is_next_last(self) -> bool:
        """Whether the first piece was read, and is everything.

        It may be as short as what another device asked for: readers share what they read.
        """
        return self._first is not None and len(self._first) == self.left

    def close(self) -> None:
        """Close the blob."""
        self._blob.close()

    def next_nowait(self) -> Piece | None:
        """Return the next piece if it needs no waiting. If it is rotten, `__anext__` says so."""
        if self._offset >= self._end:
            return None
        if self._first is not None:
            return self._take_first(self._first)
        piece = self._read_nowait(self._offset, self._next_size())
        if piece is not None:
            self._offset += len(piece)
        return piece

    async def __anext__(self) -> Piece:
        """Return the next piece; raise `RottenContentError` instead of a rotten one."""
        if self._offset >= self._end:
            raise StopAsyncIteration
        if self._first is not None:
            return self._take_first(self._first)
        piece = await self._read(self._offset, self._next_size())
        self._offset += len(piece)
        return piece

    async def check_beginning(self, count: int) -> None:
        """Raise now what reading the first piece, and the first `count` bytes, would raise.

        The first piece is kept; what is behind it is read again later.
        """
        if self._offset >= self._end:
            return
        self._first = await self._read(self._offset, self._next_size())
        offset = self._offset + len(self._first)
        end = min(self._end, self._offset + count)
        while offset < end:
            offset += len(await self._read(offset, end - offset))

    def _has_beginning(self, count: int) -> bool:
        """Do what `check_beginning` does, if that needs no waiting; tell whether it is right."""
        end = min(self._end, self._offset + count)
        self._first = self._read_nowait(self._offset, self._next_size())
        piece, offset = self._first, self._offset
        while piece is not None and offset + len(piece) < end:
            offset += len(piece)
            piece = self._read_nowait(offset, end - offset)
        return piece is not None

    def _read_nowait(self, offset: int, limit: int) -> Piece | None:
        try:
            return self._blob.read_nowait(offset, limit)
        except (RottenBlobError, OSError) as error:
            self._failure = without_frames(error)
            return None

    def _take_first(self, piece: Piece) -> Piece:
        self._first = None
        self._offset += len(piece)
        return piece

    def _next_size(self) -> int:
        return self._size.next(time.monotonic(), self._end - self._offset)

    async def _read(self, offset: int, limit: int) -> Piece:
        if self._failure is not None:  # though it may not come again: the disk has failed once
            raise await self._out_of_service(self._failure) from self._failure
        try:
            return await self._blob.read(offset, limit)
        except (RottenBlobError, OSError) as error:
            raise await self._out_of_service(error) from error

    async def _out_of_service(self, error: RottenBlobError | OSError) -> RottenContentError:
        """Quarantine the blob; return what its reader is told."""
        await finish_in_thread(self._store.quarantine_open, self._blob, _why(error))
        is_rotten = isinstance(error, RottenBlobError)
        return RottenContentError(
            "the stored blob is rotten" if is_rotten else "the stored blob cannot be read"
        )


def _why(error: RottenBlobError | OSError) -> str:
    return str(error) if isinstance(error, RottenBlobError) else "it cannot be read"


@define(eq=False)
class WarmBlob:
    """A stored blob. If its beginning turns out to be rotten, it is brought again.

    Of the first span that is asked for, `PIECE_BYTES` are the beginning; of any other one piece.
    """

    _store: BlobStore
    _blob: StoredBlob
    _bring_anew: Callable[[], Awaitable[Blob]]
    _room_now: RoomNow = nobody_says
    _size: PieceSize = field(init=False)  # of all spans' pieces
    _checked_bytes: int = field(default=PIECE_BYTES, init=False)  # of the next span

    def __attrs_post_init__(self) -> None:
        """Begin with small pieces, unless the kernel takes large ones."""
        self._size = PieceSize(time.monotonic(), self._room_now)

    @property
    def length(self) -> int:
        """Bytes of the whole blob."""
        return self._blob.length

    @property
    def gives_spans(self) -> bool:
        """Always: the file is read from anywhere."""
        return True

    @property
    def verifies_parts(self) -> bool:
        """Whether every part comes verified: it does, unless a rotten blob is brought again."""
        return True

    def expect(self, spans: Sequence[Span]) -> None:
        """Note nothing: all of it is there."""

    async def whole(self) -> BlobPart:
        """Return all pieces, as `part` does."""
        return await self.part(Span.whole(self.length))

    async def part(self, span: Span) -> BlobPart:
        """Return checked pieces. The beginning is checked while the blob can still be brought."""
        pieces = StoredPieces(self._store, self._blob, span.first, span.end, self._size)
        checked_bytes, self._checked_bytes = self._checked_bytes, 0
        try:
            await pieces.check_beginning(checked_bytes)
        except RottenContentError:
            return await (await self._bring_anew()).part(span)
        return BlobPart(pieces)
