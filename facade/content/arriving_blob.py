"""A blob on its way into the store, as a pull is answered with it.

Its bytes follow the growing file. If the store gives up (because the disk is full, say), the answer
goes on with upstream's bytes, and everything is hashed: what was sent, and what is still to come.
If the file cannot be read, what was sent cannot be hashed. Then the answer is aborted, unless
nothing was sent yet.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

from attrs import define, field

from facade.arrivals.arrival import Arrival, ArrivalEndedError, StoreGaveUpError
from facade.arrivals.download import download_behind
from facade.arrivals.verified_pieces import PieceVerifier, within
from facade.arrivals.want import Want
from facade.content.arriving_pieces import ArrivingPieces, ReadFailure
from facade.content.not_kept import count_not_kept
from facade.content.source import BlobPart, PullInProgress
from facade.metrics.store_metrics import StoreMetrics
from facade.store.ingest_file import REHASH_BYTES
from facade.values.byte_range import Span
from facade.values.piece import PIECE_BYTES, Piece
from shared.structured_log import get_logger

_log = get_logger("facade.arriving_blob")


@define(eq=False)
class ArrivingBlob:
    """A blob that arrives for everybody who asks for it in the meantime."""

    _asked: PullInProgress
    _arrival: Arrival
    _may_be_unverified: bool  # whether a range may end before the blob is proven
    _stack: AsyncExitStack  # of the answer
    _metrics: StoreMetrics
    _has_given_up: bool = field(default=False, init=False)  # the store, while this was answered
    _expected: dict[Span, Want] = field(factory=dict, init=False)  # and not asked for yet

    @property
    def length(self) -> int | None:
        """Bytes of the whole blob; None as long as nobody knows."""
        return self._arrival.length

    @property
    def gives_spans(self) -> bool:
        """Until the store gives up: after that, each part would buy the rest of the blob again."""
        return not self._has_given_up

    @property
    def verifies_parts(self) -> bool:
        """Whether each ends only when it is proven."""
        is_short = self.length is not None and self.length <= PIECE_BYTES
        return self._arrival.is_proven or is_short or not self._may_be_unverified

    def expect(self, spans: Sequence[Span]) -> None:
        """Have these fetched, behind what somebody waits for."""
        for span in spans:
            if span not in self._expected:
                self._expected[span] = self._wanted(span)

    async def whole(self) -> BlobPart:
        """Return all bytes as they come."""
        want = Want.whole(self._arrival.length)
        return BlobPart(self._pieces(self._noted(want)))

    async def part(self, span: Span) -> BlobPart:
        """Return the bytes of a span as they come: marked, unless they are proven by its end."""
        want = self._expected.pop(span, None) or self._wanted(span)
        is_verified = self._arrival.is_proven or want.is_proven_before_it_ends
        if not is_verified:
            await self._arrival.note_marked(self._asked.payer.device)
        return BlobPart(self._pieces(want), is_verified)

    def _wanted(self, span: Span) -> Want:
        return self._noted(Want.part(span, may_be_unverified=self._may_be_unverified))

    def _noted(self, want: Want) -> Want:
        self._arrival.want(want)
        self._stack.callback(self._arrival.leave, want)
        return want

    def _pieces(self, want: Want) -> ArrivingPieces:
        return ArrivingPieces(self._arrival, want, self._going_on)

    def _going_on(self, failure: ReadFailure, offset: int, end: int | None) -> AsyncIterator[Piece]:
        """Return the part of a span that the store will not have, or cannot give."""
        self._has_given_up = True
        is_readable = isinstance(failure, StoreGaveUpError)
        left = min(offset, self._arrival.reached) if is_readable else 0
        count_not_kept(self._metrics, failure)
        _log.warning(
            "store gave up, going on from upstream",
            digest=self._asked.pull.digest,
            bytes=offset,
            reason=type(failure.__cause__ if is_readable else failure).__name__,
        )
        return self._from_upstream(left, offset, end)

    async def _from_upstream(self, left: int, offset: int, end: int | None) -> AsyncIterator[Piece]:
        """Yield a span's bytes from upstream, its last piece only if the whole blob is right.

        `left`: so many bytes of the beginning are hashed from the file.
        """
        pull = self._asked.pull
        verifier = PieceVerifier(pull.digest, self.length)
        paid = self._asked.payer.go_on_by_download()
        try:
            async with (
                self._asked.upstream() as upstream,
                download_behind(upstream, pull.repository, verifier, left) as download,
            ):
                await self._rehash(verifier, left)
                async for piece in within(download.verified_pieces(), left, offset, end):
                    yield piece
        finally:
            paid.end()

    async def _rehash(self, verifier: PieceVerifier, left: int) -> None:
        while verifier.taken < left:
            count = min(REHASH_BYTES, left - verifier.taken)
            try:
                beginning = await self._arrival.read(verifier.taken, count)
            except OSError as error:
                raise ArrivalEndedError("the store's file cannot be read") from error
            await asyncio.to_thread(verifier.take_verbatim, beginning)
