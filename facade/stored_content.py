"""Content from the blob store, fetched once for everybody who may read it.

It only composes: the right to read is asked for before a byte (`right_to_read`), manifests are
kept whole (`stored_manifests`), blobs are stored, or arrive, and what the store cannot keep is
streamed.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Self

from attrs import define, frozen

from facade.arrival import Arrival, ArrivalEndedError
from facade.byte_range import Span
from facade.content import Asked, Blob, Piece, StreamedContent
from facade.flights import Flights, NothingArrivesError
from facade.held_back import PIECE_BYTES
from facade.manifest import VerifiedManifest
from facade.right_to_read import RightToRead, flight_key
from facade.store.blob_store import BlobStore, NoRoomError
from facade.stored_manifests import StoredManifests
from facade.warm_blob import WarmBlob
from shared.structured_log import get_logger

MAX_LOOKS: Final = 8  # at what other processes begin and end meanwhile; then it is streamed

_log = get_logger("facade.stored_content")


@frozen
class ArrivingBlob:
    """A blob on its way into the store."""

    _arrival: Arrival
    has_ranges: bool = True

    @property
    def length(self) -> int:
        """Bytes of the whole blob."""
        return self._arrival.length

    async def pieces(self, span: Span) -> AsyncIterator[Piece]:
        """Yield what may be sent as it comes; raise `ArrivalEndedError` where no more will."""
        if not self.length:
            await self._arrival.readable_beyond(0)
        offset = span.first
        while offset < span.end:
            limit = min(await self._arrival.readable_beyond(offset), span.end)
            while offset < limit:
                piece = await self._arrival.read(offset, min(limit - offset, PIECE_BYTES))
                if not piece:
                    raise ArrivalEndedError("the store's file is shorter than it was")
                yield piece
                offset += len(piece)


@define(eq=False)
class StoredContent:
    """Content of one machine's store."""

    _store: BlobStore
    _flights: Flights
    _right: RightToRead
    _manifests: StoredManifests
    _streamed: StreamedContent

    @classmethod
    def of(cls, store: BlobStore, flights: Flights) -> Self:
        """Compose what serves from a store."""
        streamed = StreamedContent()
        right = RightToRead(store, streamed)
        return cls(store, flights, right, StoredManifests(store, right, streamed), streamed)

    async def require_right(self, asked: Asked) -> None:
        """Ask the store, then upstream."""
        if self._right.membership(asked) is None or not self._store.has(asked.pull.digest):
            await self._streamed.require_right(asked)

    async def manifest(self, asked: Asked) -> VerifiedManifest:
        """Return the stored manifest; fetch, verify and keep it where there is none."""
        return await self._manifests.manifest(asked)

    async def blob_length(self, asked: Asked) -> int:
        """Return a readable blob's length; ask upstream's HEAD for any other."""
        if self._right.membership(asked) is not None:
            blob = self._store.open_blob(asked.pull.digest)
            if blob is not None:
                blob.close()
                return blob.length
        return await self._streamed.blob_length(asked)

    @asynccontextmanager
    async def blob(self, asked: Asked) -> AsyncIterator[Blob]:
        """Give a stored blob, or one that arrives, or one that is only passed on."""
        async with AsyncExitStack() as stack:
            yield await self._open(asked, stack)

    async def _open(self, asked: Asked, stack: AsyncExitStack) -> Blob:
        key = flight_key(asked)
        for _ in range(MAX_LOOKS):
            if await self._right.is_proven(asked, self._flights.repository_of(key)):
                blob = self._store.open_blob(key.digest)
                if blob is not None:
                    stack.callback(blob.close)
                    return WarmBlob(self._store, blob)
            try:
                arrival = await stack.enter_async_context(
                    self._flights.join(asked.connection, key, asked.pull.repository)
                )
                return ArrivingBlob(arrival)
            except NothingArrivesError:
                continue  # another process ended it just now: look again
            except (NoRoomError, OSError) as error:
                _log.warning("not kept", digest=key.digest, reason=type(error).__name__)
                break
        return await stack.enter_async_context(self._streamed.blob(asked))
