"""Content from the blob store, fetched once for everybody who may read it.

It composes the parts. The right to read is asked for before a byte is given (`right_to_read`).
Manifests are kept whole (`stored_manifests`). Blobs are stored, or arrive; what the store cannot
keep is streamed. If a connection has no right yet, it begins a download of its own, whose first
answer proves the right (`flight`). If the blob is stored, the download ends there.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Final, Self

from attrs import define

from facade.arrivals.announcing import NothingArrivesError
from facade.arrivals.arrival import StoreGaveUpError
from facade.arrivals.flights import Flights
from facade.content.arriving_blob import ArrivingBlob
from facade.content.far_ranges import FarRanges
from facade.content.manifest import VerifiedManifest
from facade.content.not_kept import count_not_kept
from facade.content.piece_size import RoomNow
from facade.content.source import Blob, PullInProgress
from facade.content.still_given import may_still_read
from facade.content.stored_manifests import StoredManifests
from facade.content.streamed_content import StreamedContent
from facade.content.warm_blob import StoredPieces, WarmBlob
from facade.metrics.pull_metrics import PullSource
from facade.registries.upstreams import Upstreams
from facade.rights.background_proofs import BackgroundProofs
from facade.rights.right_to_read import RightToRead, right_of
from facade.rights.rights import Rights
from facade.store.blob_store import BlobStore, NoRoomError
from facade.values.authorized_pull import AuthorizedPull
from facade.values.piece import Piece
from shared.structured_log import get_logger

MAX_LOOKS: Final = 8  # other processes may begin and end arrivals meanwhile; then it is streamed

_log = get_logger("facade.stored_content")


@define(eq=False)
class StoredContent:
    """Content of one machine's store."""

    _store: BlobStore
    _rights: Rights
    _flights: Flights
    _right: RightToRead
    _manifests: StoredManifests
    _streamed: StreamedContent
    _far_ranges: FarRanges

    @classmethod
    def of(
        cls,
        store: BlobStore,
        rights: Rights,
        flights: Flights,
        upstreams: Upstreams,
        far_ranges: FarRanges,
    ) -> Self:
        """Compose what serves from a store."""
        streamed = StreamedContent(far_ranges)
        proofs = BackgroundProofs(rights, upstreams, may_still_read)
        right = RightToRead(rights, proofs)
        manifests = StoredManifests(store, rights, right, streamed)
        return cls(store, rights, flights, right, manifests, streamed, far_ranges)

    async def close(self) -> None:
        """End the questions to upstream that are everybody's. Flights end by themselves."""
        await self._manifests.close()
        await self._right.close()

    async def require_right(self, asked: PullInProgress) -> None:
        """Ask the store, then upstream."""
        if await self._right.proven(asked) is None or not await self._store.holds(
            asked.pull.digest
        ):
            await self._streamed.require_right(asked)
        else:
            asked.origin.source = PullSource.STORE

    async def manifest(self, asked: PullInProgress) -> VerifiedManifest:
        """Return the stored manifest; if there is none, fetch, verify and keep it."""
        return await self._manifests.manifest(asked)

    def stored_manifest(
        self, asked: AuthorizedPull
    ) -> AbstractAsyncContextManager[AsyncIterator[Piece] | None]:
        """Give its pieces from the disk, so that it is not in memory while a device reads it."""
        return self._manifests.pieces(asked)

    def manifest_nowait(self, asked: AuthorizedPull) -> VerifiedManifest | None:
        """Return a stored manifest that is in memory."""
        return self._manifests.at_hand(asked)

    def blob_nowait(self, asked: AuthorizedPull, room_now: RoomNow) -> StoredPieces | None:
        """Return a stored blob whose beginning is in the page cache."""
        if self._right.proven_nowait(asked) is None:
            return None
        blob = self._store.open_nowait(asked.pull.digest)
        return None if blob is None else StoredPieces.at_hand(self._store, blob, room_now)

    def stores_some(self) -> bool:
        """Tell what the index said a few seconds ago."""
        return self._rights.gives_some

    async def blob_length(self, asked: PullInProgress) -> int:
        """Return a readable blob's length, which is proven; ask upstream for any other's."""
        if await self._right.proven(asked) is not None:
            blob = await self._store.open_blob(asked.pull.digest)
            if blob is not None:
                blob.close()
                asked.origin.source = PullSource.STORE
                return blob.length
        if (length := self._flights.proven_length(right_of(asked))) is not None:
            asked.origin.joins()
            return length  # it is just being kept
        return await self._streamed.blob_length(asked)

    @asynccontextmanager
    async def blob(self, asked: PullInProgress) -> AsyncIterator[Blob]:
        """Give a stored blob, or one that arrives, or one that is only passed on."""
        async with AsyncExitStack() as stack:
            yield await self._open(asked, stack)

    async def _open(self, asked: PullInProgress, stack: AsyncExitStack) -> Blob:
        for _ in range(MAX_LOOKS):
            is_here = self._flights.brings(right_of(asked))  # the index need not be asked
            if not is_here and await self._right.proven(asked) is not None:
                blob = await self._store.open_blob(asked.pull.digest)
                if blob is not None:
                    stack.callback(blob.close)
                    asked.origin.source = PullSource.STORE
                    return WarmBlob(
                        self._store, blob, lambda: self._anew(asked, stack), asked.room_now
                    )
            with suppress(NothingArrivesError):  # it has just ended, or is stored: look again
                return await self._arriving(
                    asked, stack, may_be_unverified=self._far_ranges.enabled
                )
        return await stack.enter_async_context(self._streamed.blob(asked))

    async def _anew(self, asked: PullInProgress, stack: AsyncExitStack) -> Blob:
        """Bring a blob again whose stored bytes were rotten: its ranges were not to be marked."""
        with suppress(NothingArrivesError):
            return await self._arriving(asked, stack, may_be_unverified=False)
        return await stack.enter_async_context(self._streamed.blob(asked))

    async def _arriving(
        self, asked: PullInProgress, stack: AsyncExitStack, *, may_be_unverified: bool
    ) -> Blob:
        """Join its arrival, or pass it on if the store cannot take it."""
        right = right_of(asked)
        asked.origin.joins()  # unless this pull pays for it
        first = asked.first if may_be_unverified else None
        try:
            arrival = await stack.enter_async_context(
                self._flights.join(asked.connection, right, asked, asked.payer.device, first)
            )
        except (NoRoomError, StoreGaveUpError, OSError) as error:
            count_not_kept(self._store.metrics, error)
            _log.warning("not kept", digest=right.key.digest, reason=type(error).__name__)
            return await stack.enter_async_context(self._streamed.blob(asked))
        if arrival.repository != right.repository:  # another one's download, after all
            asked.origin.joins()
        return ArrivingBlob(asked, arrival, may_be_unverified, stack, self._store.metrics)
