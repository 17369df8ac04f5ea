"""The body of a blob's answer: all its bytes, one range of them, or several ranges.

| asked for | answer |
|---|---|
| no range, or one that is ignored | 200, the whole blob |
| one satisfiable range, perhaps of several | 206 |
| several | 206 `multipart/byteranges`: a part for each, in the order asked |
| more than two that overlap, many small ones in descending order | 200 |
| several, of a blob that can be read only once | 200 |
| none satisfiable | 416 |

If nobody knows a blob's length, nobody can say whether it has such ranges. They are ignored then
(RFC 9110 section 14.2), and the answer is chunked instead of having a Content-Length.
"""

from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web
from attrs import define, field, frozen

from facade.answers.answer_headers import ACCEPT_RANGES, RANGE_UNIT
from facade.answers.multipart_ranges import MultipartRanges
from facade.arrivals.arrival import ArrivalEndedError
from facade.content.source import Blob, BlobPart
from facade.loop.loop_turns import LoopTurns
from facade.metrics.pull_metrics import SeveralRanges
from facade.values.byte_range import ByteRanges, Span
from facade.values.piece import Piece
from shared.oci import OCTET_STREAM

# Of small parts, and what stands between them: sent at once, and in memory for a device that does
# not read. As much as is read for a device that has not shown yet that it keeps up.
GATHERED_BYTES: Final = 32 * 1024
# A step, after which others have their turn: the store reads, and checks, 32 KiB for the smallest
# part.
PARTS_A_STEP: Final = 8
# Behind the one that is sent, of a blob that arrives: as many as are fetched at once for it. One
# after the other, a thousand would take a thousand round trips.
EXPECTED_PARTS: Final = 16
STEPS_A_TURN: Final = 2  # of all answers together, in one turn of the loop: some 0.3 ms


@frozen
class BlobBody:
    """What is sent for a request."""

    pieces: AsyncIterator[Piece]
    is_verified: bool  # if not, the answer is to be marked
    several: SeveralRanges | None  # how a request for several ranges is answered
    content_in: Callable[[int], int]  # of so many bytes that are sent next, how many are a blob's


async def blob_body(
    response: web.StreamResponse,
    ranges: ByteRanges | None,
    blob: Blob,
    turns: LoopTurns,
) -> BlobBody:
    """Return what is asked for, and say in the answer's head what that is.

    `turns`: of all answers with several ranges. Raises `UnsatisfiableRangeError`, and what `Blob`
    raises.
    """
    several = ranges is not None and len(ranges.asked) > 1
    if blob.length is None:
        response.enable_chunked_encoding()
        return _of_part(await blob.whole(), SeveralRanges.WHOLE if several else None)
    response.headers[ACCEPT_RANGES] = RANGE_UNIT
    if several:
        await turns.next()
    spans = ranges.spans(blob.length) if ranges else None
    if spans is None or spans.is_wasteful or (len(spans) > 1 and not blob.gives_spans):
        response.content_length = blob.length
        return _of_part(await blob.whole(), SeveralRanges.WHOLE if several else None)
    response.set_status(HTTPStatus.PARTIAL_CONTENT)
    if len(spans) > 1:
        return _of_parts(response, MultipartRanges.of(spans, OCTET_STREAM), blob, turns)
    (span,) = spans
    response.headers["Content-Range"] = span.content_range
    response.content_length = span.count
    return _of_part(await blob.part(span), SeveralRanges.ONE if several else None)


def all_content(given: int) -> int:
    """Return how many of the bytes of an answer without framing are content: all."""
    return given


def _of_part(part: BlobPart, several: SeveralRanges | None) -> BlobBody:
    return BlobBody(part.pieces, part.is_verified, several, all_content)


def _of_parts(
    response: web.StreamResponse, layout: MultipartRanges, blob: Blob, turns: LoopTurns
) -> BlobBody:
    response.headers["Content-Type"] = layout.content_type
    response.content_length = layout.content_length
    parts = _Parts(layout, blob, turns)
    return BlobBody(parts.pieces(), blob.verifies_parts, SeveralRanges.MULTIPART, parts.content_in)


class _Framing(bytes):
    """Bytes of the body that are not the blob's."""


@define(eq=False)
class _Parts:
    """The parts of one answer. Each is opened when those before it were sent, expected before."""

    _layout: MultipartRanges
    _blob: Blob
    _turns: LoopTurns
    _framing: int = field(default=0, init=False)  # bytes of it that were handed over, not counted

    def content_in(self, given: int) -> int:
        """Return how many of the bytes that were just sent are the blob's."""
        framing = min(given, self._framing)
        self._framing -= framing
        return given - framing

    async def pieces(self) -> AsyncIterator[Piece]:
        """Yield the body. What is small is sent together, but waits for nothing."""
        gathered = bytearray()
        async for piece in self._apart():
            if gathered and (piece is None or len(gathered) + len(piece) > GATHERED_BYTES):
                yield gathered
                gathered = bytearray()
            if isinstance(piece, _Framing):
                self._framing += len(piece)
            if piece is not None and len(piece) < GATHERED_BYTES:
                gathered += piece
            elif piece is not None:
                yield piece
        yield gathered

    async def _apart(self) -> AsyncIterator[Piece | None]:
        """Yield the body without putting anything together; None before what may take a while."""
        may_be_unverified = not self._blob.verifies_parts  # as the answer's head says
        for number, span in enumerate(self._layout.spans, start=1):
            if number % PARTS_A_STEP == 0:
                await self._turns.next()
            if may_be_unverified:
                self._expect_behind(number)
            if may_be_unverified:
                yield None  # upstream may be asked for the next part
            if not self._blob.gives_spans:
                raise ArrivalEndedError("the store gave up, and the blob can be read only once")
            part = await self._blob.part(span)
            if not (part.is_verified or may_be_unverified):
                raise ArrivalEndedError("a part of a stored blob came from upstream, unproven")
            async for piece in self._of_span(span, part.pieces):
                yield piece
        yield _Framing(self._layout.end)

    def _expect_behind(self, number: int) -> None:
        """Expect as many parts behind the one with this number, from 1 on, as are to be."""
        spans = self._layout.spans
        begun = number + EXPECTED_PARTS - 1 if number > 1 else 0
        self._blob.expect(spans.some(begun, number + EXPECTED_PARTS - begun))

    async def _of_span(
        self, span: Span, pieces: AsyncIterator[Piece]
    ) -> AsyncIterator[Piece | None]:
        """Yield a part, its head together with its first piece, to its very end."""
        # Not `isinstance`: for a protocol it takes as long as all else of a small part.
        at_hand = getattr(pieces, "next_nowait", _nothing_at_hand)
        sent = 0
        while True:
            if (piece := at_hand()) is None:
                if sent < span.count:
                    yield None
                if (piece := await anext(pieces, None)) is None:
                    break
            if not sent:
                yield _Framing(self._layout.head(span))
            sent += len(piece)
            yield piece
        if sent != span.count:
            raise ArrivalEndedError("a part has another length than was announced")


def _nothing_at_hand() -> None:
    return None
