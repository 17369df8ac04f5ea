"""A complete blob of the store, as a pull is answered with it."""

from collections.abc import AsyncIterator, Awaitable, Callable

from attrs import frozen

from facade.arrival import ArrivalEndedError
from facade.byte_range import Span
from facade.content import Blob, Part, Piece
from facade.store.blob_store import BlobStore
from facade.store.stored_blob import RottenBlobError, StoredBlob


class RottenContentError(ArrivalEndedError):
    """The stored blob is not what was stored, or cannot be read; it is out of service now."""


@frozen
class StoredPieces:
    """The checked pieces of an open blob."""

    _store: BlobStore
    _blob: StoredBlob

    async def of(self, span: Span) -> AsyncIterator[Piece]:
        """Yield a span; raise `RottenContentError` instead of a rotten piece."""
        offset = span.first
        while offset < span.end:
            piece = await self._read(offset, span.end - offset)
            yield piece
            offset += len(piece)

    async def _read(self, offset: int, limit: int) -> Piece:
        try:
            return await self._blob.read(offset, limit)
        except RottenBlobError as error:
            self._store.quarantine(self._blob.digest, str(error))
            raise RottenContentError("the stored blob is rotten") from error
        except OSError as error:
            self._store.quarantine(self._blob.digest, "it cannot be read")
            raise RottenContentError("the stored blob cannot be read") from error


@frozen
class WarmBlob:
    """A stored blob; where its first piece turns out to be rotten, it is brought anew."""

    _pieces: StoredPieces
    _bring_anew: Callable[[], Awaitable[Blob]]
    length: int

    async def part(self, span: Span) -> Part:
        """Return checked pieces; the first one is read here, while there is another way."""
        pieces = self._pieces.of(span)
        try:
            first = await anext(pieces, b"")
        except RottenContentError:
            return await (await self._bring_anew()).part(span)
        return Part(_behind(first, pieces))


async def _behind(first: Piece, pieces: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    yield first
    async for piece in pieces:
        yield piece
