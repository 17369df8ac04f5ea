"""Manifests of the store: exact bytes and media type, fetched once, verified and kept whole.

Devices of this process that ask for a cold one wait for one fetch. Other processes of the machine
wait for the lock on its arriving file, and then look into the store. All this happens for each
repository by itself: another repository of the connection fetches the manifest as if nobody had,
even beside a fetch that hangs. So nobody without a right can see, by questions or by time, that it
is stored or being fetched.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import attrs
from attrs import define, field

from facade.arrivals.arrival import POLL_SECONDS, ArrivalEndedError, StoreGaveUpError
from facade.arrivals.claimed_room import ClaimedRoom
from facade.content.hot_manifests import hot_manifests
from facade.content.manifest import VerifiedManifest
from facade.content.not_kept import count_not_kept
from facade.content.source import PullInProgress
from facade.content.streamed_content import StreamedContent
from facade.content.warm_blob import StoredPieces
from facade.loop.single_flight import SingleFlight
from facade.loop.thread_work import finish, finish_in_thread, in_store_thread, open_in_thread
from facade.metrics.pull_metrics import PullSource
from facade.registries.payer import FreePayer
from facade.rights.right import Right
from facade.rights.right_to_read import RightToRead, right_of
from facade.rights.rights import Rights
from facade.store.blob_store import BlobStore, NoRoomError
from facade.store.ingest_file import OwnedIngest
from facade.values.authorized_pull import AuthorizedPull
from facade.values.piece import Piece
from shared.bounded_map import BoundedMap
from shared.oci import Digest
from shared.structured_log import get_logger

TURN_SECONDS: Final = 30.0  # for another process's fetch; then it is fetched and not kept

_log = get_logger("facade.stored_manifests")


@define(eq=False)
class StoredManifests:
    """The manifests of one machine's store."""

    _store: BlobStore
    _rights: Rights
    _right: RightToRead
    _streamed: StreamedContent
    _fetching: SingleFlight[Right, VerifiedManifest] = field(factory=SingleFlight, init=False)
    _reading: SingleFlight[Digest, bytes | None] = field(factory=SingleFlight, init=False)
    _hot: BoundedMap[Digest, bytes] = field(factory=hot_manifests, init=False)

    async def manifest(self, asked: PullInProgress) -> VerifiedManifest:
        """Return the stored manifest; if there is none, fetch, verify and keep it.

        Raises `UpstreamError` and `WrongBytesError`.
        """
        stored = await self._stored(asked)
        if stored is not None:
            return stored
        right = right_of(asked)
        asked.origin.joins()
        if not self._fetching.is_under_way(right):
            await asked.pay_miss()
        paid = attrs.evolve(asked, payer=FreePayer(asked.payer.device))
        return await self._fetching.share(right, lambda: self._fetched(paid))

    def at_hand(self, asked: AuthorizedPull) -> VerifiedManifest | None:
        """Return the manifest if it is in memory and the asker has a right to it."""
        content = self._hot.get(asked.pull.digest)
        right = self._right.proven_nowait(asked) if content is not None else None
        if right is None or content is None:
            return None
        self._store.note_use(asked.pull.digest)
        return VerifiedManifest(content, right.media_type)

    @asynccontextmanager
    async def pieces(self, asked: AuthorizedPull) -> AsyncIterator[AsyncIterator[Piece] | None]:
        """Give the pieces of a stored manifest, each held against its checksum; None if it is gone.

        `manifest` has asked for the right, and has verified all of them before.
        """
        blob = await self._store.open_blob(asked.pull.digest)
        if blob is None:
            yield None
            return
        try:
            yield StoredPieces(self._store, blob, 0, blob.length)
        finally:
            blob.close()

    async def close(self) -> None:
        """End what is being fetched or read."""
        await self._fetching.close()
        await self._reading.close()

    async def _stored(self, asked: PullInProgress) -> VerifiedManifest | None:
        """Return the manifest if it is stored and the asker has a right to it."""
        if (at_hand := self.at_hand(asked)) is not None:
            asked.origin.source = PullSource.MEMORY
            return at_hand
        right, digest = await self._right.proven(asked), asked.pull.digest
        if right is None:
            return None
        # A fleet that comes back asks for the same: the first reads it for all who ask meanwhile.
        content = self._hot.get(digest)
        if content is None:
            content = await self._reading.share(digest, lambda: self._read(digest))
        if content is None:
            return None
        asked.origin.source = PullSource.STORE
        return VerifiedManifest(content, right.media_type)

    async def _read(self, digest: Digest) -> bytes | None:
        """Return stored bytes, in memory from now on; None if there are none, or rotten ones."""
        blob = await self._store.open_blob(digest)
        if blob is None:
            return None
        try:
            content = bytearray()
            async for piece in StoredPieces(self._store, blob, 0, blob.length):
                if content:  # a long one is not read in one go, so that others have their turn
                    await asyncio.sleep(0)
                content += piece
        except ArrivalEndedError:
            return None
        finally:
            blob.close()
        whole = bytes(content)
        self._hot.set(digest, whole)
        return whole

    async def _fetched(self, asked: PullInProgress) -> VerifiedManifest:
        """Fetch for everybody who waits; it goes on if some of them leave."""
        async with asked.upstream():  # a revocation ends this, although no device does it
            ingest = await self._turn(asked)
            try:
                if (stored := await self._stored(asked)) is not None:
                    return stored  # another process has brought it meanwhile
                manifest = await self._streamed.manifest(asked)
                if ingest is not None:
                    kept, ingest = ingest, None  # kept or discarded, even if cancelled
                    await finish(self._keep(kept, asked, manifest))
            finally:
                if ingest is not None:
                    await finish_in_thread(_discard, ingest, asked)
        return manifest

    async def _turn(self, asked: PullInProgress) -> OwnedIngest | None:
        """Become the only process that fetches it; None if that takes long, or the disk fails."""
        folder = self._store.layout.flight(right_of(asked))
        try:
            async with asyncio.timeout(TURN_SECONDS):
                while True:
                    ingest = await open_in_thread(OwnedIngest.acquire, _release, folder)
                    if ingest is not None and not ingest.size:
                        return ingest
                    if ingest is not None:
                        # A crash left it. It is small, and never resumed.
                        await finish_in_thread(ingest.discard)
                    else:
                        await asyncio.sleep(POLL_SECONDS)
        except (TimeoutError, OSError) as error:
            _tell_not_kept(asked, error)
            return None

    async def _keep(
        self, ingest: OwnedIngest, asked: PullInProgress, manifest: VerifiedManifest
    ) -> None:
        """Keep the manifest and the right to it, if there is room for it."""
        right, size = right_of(asked), len(manifest.content)
        room = ClaimedRoom(self._store, ingest, right.key.access_key)
        try:
            await room.begin(size, 0, right.repository)
            async with room.made_for(lambda: size):
                await in_store_thread(self._write, ingest, right, manifest)
            await self._store.commit(ingest, right.key.digest, size)
        except (NoRoomError, StoreGaveUpError, OSError) as error:
            await in_store_thread(_discard, ingest, asked)
            count_not_kept(self._store.metrics, error)
            _tell_not_kept(asked, error)

    def _write(self, ingest: OwnedIngest, right: Right, manifest: VerifiedManifest) -> None:
        """Write the manifest and the right to it. Blocks.

        The right first: a process that waits for the lock looks for the right as soon as it has the
        lock, and would otherwise fetch the manifest once more.
        """
        ingest.append([manifest.content])
        self._rights.prove(right, manifest.media_type)


def _release(ingest: OwnedIngest | None) -> None:
    if ingest is not None:
        ingest.release()


def _discard(ingest: OwnedIngest, asked: PullInProgress) -> None:
    try:
        ingest.discard()
    except OSError as error:
        _tell_not_kept(asked, error)


def _tell_not_kept(asked: PullInProgress, error: Exception) -> None:
    _log.warning("not kept", digest=asked.pull.digest, reason=type(error).__name__)
