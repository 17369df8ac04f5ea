"""Content from the blob store, fetched once for everybody who may read it.

The right to read is decided here, before a byte: a membership of this repository, or a proof of it
now. Another repository of the same connection proves its own right by HEAD; another connection
has to bring the bytes itself. What the store cannot keep is streamed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from attrs import define, field, frozen

from facade.arrival import Arrival, ArrivalEndedError
from facade.byte_range import Span
from facade.content import Asked, Blob, Piece, StreamedContent
from facade.flights import Flights, NothingArrivesError
from facade.held_back import PIECE_BYTES
from facade.manifest import VerifiedManifest
from facade.store.blob_store import BlobStore, NoRoomError
from facade.store.ingest_file import OwnedIngest
from facade.store.layout import FlightKey
from facade.store.piece_checksums import PieceHasher
from facade.store.stored_blob import RottenBlobError, StoredBlob
from shared.oci import OCTET_STREAM
from shared.structured_log import get_logger

MAX_LOOKS: Final = 8  # at what other processes begin and end meanwhile; then it is streamed

_log = get_logger("facade.stored_content")


@frozen
class WarmBlob:
    """A stored blob."""

    _store: BlobStore
    _blob: StoredBlob
    has_ranges: bool = True

    @property
    def length(self) -> int:
        """Bytes of the whole blob."""
        return self._blob.length

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
    _streamed: StreamedContent = field(factory=StreamedContent)
    _manifests: dict[FlightKey, asyncio.Task[VerifiedManifest]] = field(factory=dict, init=False)

    async def require_right(self, asked: Asked) -> None:
        """Ask the store, then upstream."""
        key = _key(asked)
        if self._store.may_read(key, asked.pull.repository) is None or not self._store.has(
            key.digest
        ):
            await self._streamed.require_right(asked)

    async def manifest(self, asked: Asked) -> VerifiedManifest:
        """Return the stored manifest; fetch, verify and keep it where there is none."""
        key = _key(asked)
        membership = self._store.may_read(key, asked.pull.repository)
        blob = self._store.open_blob(key.digest) if membership is not None else None
        if membership is None or blob is None:
            return await self._fetched_manifest(asked, key)
        try:
            pieces = [bytes(each) async for each in _whole(WarmBlob(self._store, blob))]
        except ArrivalEndedError:
            return await self._fetched_manifest(asked, key)
        finally:
            blob.close()
        return VerifiedManifest(b"".join(pieces), membership.media_type)

    async def blob_length(self, asked: Asked) -> int:
        """Return a readable blob's length; ask upstream's HEAD for any other."""
        key = _key(asked)
        if self._store.may_read(key, asked.pull.repository) is not None:
            blob = self._store.open_blob(key.digest)
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
        key = _key(asked)
        for _ in range(MAX_LOOKS):
            if await self._has_right(asked, key):
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

    async def _has_right(self, asked: Asked, key: FlightKey) -> bool:
        """Tell whether the digest may be read through this repository, proving it if need be.

        False where this connection never brought it: its own download will prove it.
        """
        repository = asked.pull.repository
        if self._store.may_read(key, repository) is not None:
            return True
        arrives_through = self._flights.repository_of(key)
        if arrives_through == repository:
            return False
        if arrives_through is None and not self._store.index.is_member(key):
            return False
        await self._streamed.require_right(asked)
        await asyncio.to_thread(self._store.index.prove, key, repository, OCTET_STREAM)
        return True

    async def _fetched_manifest(self, asked: Asked, key: FlightKey) -> VerifiedManifest:
        manifest = await self._streamed.manifest(asked)
        try:
            await asyncio.to_thread(self._keep, key, manifest)
        except OSError as error:
            _log.warning("not kept", digest=key.digest, reason=type(error).__name__)
        else:
            await asyncio.to_thread(
                self._store.index.prove, key, asked.pull.repository, manifest.media_type
            )
        return manifest

    def _keep(self, key: FlightKey, manifest: VerifiedManifest) -> None:
        ingest = OwnedIngest.acquire(self._store.layout.flight(key))
        if ingest is None:
            return  # somebody else is keeping it now
        try:
            hasher = PieceHasher()
            hasher.update(manifest.content)
            ingest.append([manifest.content])
            self._store.commit(ingest, key, hasher.finish(), len(manifest.content))
        except OSError:
            ingest.discard()
            raise


def _key(asked: Asked) -> FlightKey:
    return FlightKey(asked.connection.access_key, asked.pull.kind, asked.pull.digest)


def _whole(blob: WarmBlob) -> AsyncIterator[Piece]:
    return blob.pieces(Span.whole(blob.length))
