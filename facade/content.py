"""What a pull is answered with: manifests, lengths and blobs, wherever their bytes come from."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from attrs import frozen

from facade.byte_range import Span
from facade.download import Download, blob_length, open_download
from facade.manifest import VerifiedManifest, fetch_manifest
from facade.pull_path import Pull
from facade.upstream import Upstream
from shared.approved_connection import ApprovedConnection

Piece = bytes | bytearray | memoryview


@frozen
class Part:
    """What a span of a blob is answered with."""

    pieces: AsyncIterator[Piece]
    is_verified: bool = True  # else passed on as upstream says: marked, and kept by nobody


class Blob(Protocol):
    """A blob that may be sent."""

    @property
    def length(self) -> int:
        """Bytes of the whole blob."""

    @property
    def has_ranges(self) -> bool:
        """Whether a span can begin and end anywhere."""

    async def part(self, span: Span) -> Part:
        """Return the bytes of a span; the last of them come only where all was right."""


@frozen
class Asked:
    """An authorised pull: by which connection, through which upstream."""

    pull: Pull
    connection: ApprovedConnection
    upstream: Upstream


class Content(Protocol):
    """Where content comes from. Everything raises `UpstreamError` and `WrongBytesError`."""

    async def require_right(self, asked: Asked) -> None:
        """Return where the asker may read the digest and it exists."""

    async def manifest(self, asked: Asked) -> VerifiedManifest:
        """Return a verified manifest."""

    async def blob_length(self, asked: Asked) -> int:
        """Return a blob's length in bytes."""

    def blob(self, asked: Asked) -> AbstractAsyncContextManager[Blob]:
        """Give a blob."""


@frozen
class StreamedBlob:
    """A blob straight from upstream, from its first byte to its last."""

    _download: Download
    has_ranges: bool = False

    @property
    def length(self) -> int:
        """Bytes of the whole blob."""
        return self._download.length

    async def part(self, span: Span) -> Part:
        """Return the whole blob, held back as `Download` says."""
        if span != Span.whole(self.length):
            raise ValueError("a streamed blob has no ranges")
        return Part(self._download.verified_pieces())


class StreamedContent:
    """Everything from upstream, every time; nothing is kept."""

    async def require_right(self, asked: Asked) -> None:
        """Ask upstream's HEAD."""
        pull = asked.pull
        async with asked.upstream.fetch(pull.kind, pull.repository, pull.digest, method="HEAD"):
            pass

    async def manifest(self, asked: Asked) -> VerifiedManifest:
        """Fetch and verify."""
        return await fetch_manifest(asked.upstream, asked.pull.repository, asked.pull.digest)

    async def blob_length(self, asked: Asked) -> int:
        """Ask upstream's HEAD."""
        return await blob_length(asked.upstream, asked.pull.repository, asked.pull.digest)

    @asynccontextmanager
    async def blob(self, asked: Asked) -> AsyncIterator[Blob]:
        """Stream it."""
        pull = asked.pull
        async with open_download(asked.upstream, pull.repository, pull.digest) as download:
            yield StreamedBlob(download)
