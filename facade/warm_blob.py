"""A complete blob of the store, as a pull is answered with it."""

from collections.abc import AsyncIterator

from attrs import frozen

from facade.arrival import ArrivalEndedError
from facade.byte_range import Span
from facade.content import Part, Piece
from facade.store.blob_store import BlobStore
from facade.store.stored_blob import RottenBlobError, StoredBlob


@frozen
class WarmBlob:
    """A stored blob."""

    _store: BlobStore
    _blob: StoredBlob

    @property
    def length(self) -> int:
        """Bytes of the whole blob."""
        return self._blob.length

    async def part(self, span: Span) -> Part:
        """Return checked pieces."""
        return Part(self.pieces(span))

    async def pieces(self, span: Span) -> AsyncIterator[Piece]:
        """Yield checked pieces; a rotten one is quarantined, and raised before it is given."""
        offset = span.first
        while offset < span.end:
            try:
                piece = await self._blob.read(offset, span.end - offset)
            except RottenBlobError as error:
                self._store.quarantine(self._blob.digest, str(error))
                raise ArrivalEndedError("the stored blob is rotten") from error
            yield piece
            offset += len(piece)
