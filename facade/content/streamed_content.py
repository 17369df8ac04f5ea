"""Content straight from upstream, every time: what a facade without a store serves, and what the
store cannot keep.

A span is cut out of the whole blob, which is read and verified to its end. A far span is passed on
from upstream's own range.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext

from attrs import frozen

from facade.arrivals.download import Download, open_download
from facade.arrivals.unknown_length import blob_length
from facade.arrivals.verified_pieces import within
from facade.content.far_ranges import FarRanges
from facade.content.manifest import VerifiedManifest, fetch_manifest
from facade.content.piece_size import RoomNow
from facade.content.source import Blob, BlobPart, PullInProgress
from facade.registries.upstream import Upstream
from facade.values.authorized_pull import AuthorizedPull
from facade.values.byte_range import Span


@frozen
class StreamedBlob:
    """A blob from its first byte to its last, or a span of it."""

    _asked: PullInProgress
    _upstream: Upstream
    _download: Download
    _far_ranges: FarRanges
    _stack: AsyncExitStack  # of the answer

    @property
    def length(self) -> int | None:
        """Bytes of the whole blob; None if the registry does not tell."""
        return self._download.length

    @property
    def gives_spans(self) -> bool:
        """Never: the download is read once."""
        return False

    @property
    def verifies_parts(self) -> bool:
        """Whether nothing is relayed."""
        return not self._far_ranges.enabled

    def expect(self, spans: Sequence[Span]) -> None:
        """Note nothing: it is read in order."""

    async def whole(self) -> BlobPart:
        """Return all bytes. The last ones are held back, as `Download` says."""
        return BlobPart(self._pieces())

    async def part(self, span: Span) -> BlobPart:
        """Return the bytes of a span, the last ones held back, or unverified if it is far ahead."""
        if self._far_ranges.takes(self._asked.pull.digest, span, reached=0):
            await self._download.close()
            relay = self._far_ranges.relay(self._asked, span)
            far = await self._stack.enter_async_context(relay)
            if far is not None:
                return BlobPart(far, is_verified=False)
        if (span.first, span.end) == (0, self.length):
            return BlobPart(self._pieces())
        return BlobPart(within(self._pieces(), 0, span.first, span.end))

    async def _pieces(self) -> AsyncIterator[bytes]:
        pull = self._asked.pull
        with self._upstream.verifying(pull.kind, pull.repository, pull.digest):
            async for piece in self._download.verified_pieces():
                yield piece


@frozen
class StreamedContent:
    """Everything from upstream; nothing is kept."""

    _far_ranges: FarRanges

    async def require_right(self, asked: PullInProgress) -> None:
        """Ask upstream's HEAD."""
        pull = asked.pull
        await asked.pay_miss("HEAD")
        async with (
            asked.upstream() as upstream,
            upstream.fetch(pull.kind, pull.repository, pull.digest, method="HEAD"),
        ):
            pass

    async def manifest(self, asked: PullInProgress) -> VerifiedManifest:
        """Fetch and verify."""
        pull = asked.pull
        await asked.pay_miss()
        async with asked.upstream() as upstream:
            with upstream.verifying(pull.kind, pull.repository, pull.digest):
                return await fetch_manifest(upstream, pull.repository, pull.digest)

    def stored_manifest(self, asked: AuthorizedPull) -> nullcontext[None]:  # noqa: ARG002 - the protocol's
        """Give nothing: nothing is kept."""
        return nullcontext()

    def manifest_nowait(self, asked: AuthorizedPull) -> None:
        """Return nothing: nothing is kept."""

    def blob_nowait(self, asked: AuthorizedPull, room_now: RoomNow) -> None:
        """Return nothing: nothing is kept."""

    def stores_some(self) -> bool:
        """Nothing is."""
        return False

    async def blob_length(self, asked: PullInProgress) -> int:
        """Ask upstream's HEAD."""
        await asked.pay_miss("HEAD")
        async with asked.upstream() as upstream:
            return await blob_length(upstream, asked.pull.repository, asked.pull.digest)

    @asynccontextmanager
    async def blob(self, asked: PullInProgress) -> AsyncIterator[Blob]:
        """Stream it."""
        pull, paid = asked.pull, await asked.pay_download()
        try:
            async with AsyncExitStack() as stack:
                upstream = await stack.enter_async_context(asked.upstream())
                download = await stack.enter_async_context(
                    open_download(upstream, pull.repository, pull.digest)
                )
                yield StreamedBlob(asked, upstream, download, self._far_ranges, stack)
        finally:
            paid.end()
