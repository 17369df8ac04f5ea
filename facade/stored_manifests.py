"""Manifests of the store: exact bytes and media type, fetched, verified and kept whole."""

import asyncio

from attrs import define

from facade.arrival import ArrivalEndedError
from facade.byte_range import Span
from facade.content import Asked, StreamedContent
from facade.manifest import VerifiedManifest
from facade.right_to_read import RightToRead, flight_key
from facade.store.blob_store import BlobStore
from facade.store.ingest_file import OwnedIngest
from facade.store.layout import FlightKey
from facade.store.piece_checksums import PieceHasher
from facade.warm_blob import WarmBlob
from shared.oci import Digest
from shared.structured_log import get_logger

_log = get_logger("facade.stored_manifests")


@define(eq=False)
class StoredManifests:
    """The manifests of one machine's store."""

    _store: BlobStore
    _right: RightToRead
    _streamed: StreamedContent

    async def manifest(self, asked: Asked) -> VerifiedManifest:
        """Return the stored manifest; fetch, verify and keep it where there is none.

        Raises `UpstreamError` and `WrongBytesError`.
        """
        membership = self._right.membership(asked)
        if membership is not None:
            content = await self._stored(asked.pull.digest)
            if content is not None:
                return VerifiedManifest(content, membership.media_type)
        return await self._fetched(asked)

    async def _stored(self, digest: Digest) -> bytes | None:
        """Return stored bytes; None where there are none, or they are rotten."""
        blob = self._store.open_blob(digest)
        if blob is None:
            return None
        try:
            pieces = WarmBlob(self._store, blob).pieces(Span.whole(blob.length))
            return b"".join([bytes(each) async for each in pieces])
        except ArrivalEndedError:
            return None
        finally:
            blob.close()

    async def _fetched(self, asked: Asked) -> VerifiedManifest:
        manifest, key = await self._streamed.manifest(asked), flight_key(asked)
        try:
            await asyncio.to_thread(self._keep, key, manifest)
        except OSError as error:
            _log.warning("not kept", digest=key.digest, reason=type(error).__name__)
        else:
            await self._right.write(asked, manifest.media_type)
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
