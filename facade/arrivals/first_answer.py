"""The registry's first answer for an arriving blob: it says how long the blob is, and begins it.

What is asked for first is what the device that begins it wants, if that is a range: so a device
that asks for two bytes of a long blob has them after one answer, and the rest is not bought. What a
dead process left is gone on from.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from typing import Final

from attrs import field, frozen

from facade.arrivals.answer_series import AnswerSeries, Asks
from facade.arrivals.download import (
    Download,
    continue_download,
    download_behind,
    open_download,
)
from facade.arrivals.early_readers import asked_part
from facade.arrivals.gaps import ALIGNED_BYTES, SEGMENT_BYTES, aligned_end, next_segment
from facade.arrivals.given_blob import require_given_blob, require_there
from facade.arrivals.span_download import NoRangesError, SpanDownload
from facade.arrivals.verified_pieces import PieceVerifier
from facade.arrivals.want import Ends, Want
from facade.registries.upstream import Upstream
from facade.rights.right import Right
from facade.values.byte_range import ByteRanges, UnsatisfiableRangeError
from facade.values.coverage import Coverage
from facade.values.piece import PIECE_BYTES
from shared.oci import Kind
from shared.upstream.asked_range import AskedRange
from shared.upstream.errors import RangeRefusedError, UnexpectedAnswerError

# Of unknown length: up to so much that a dead owner left is hashed while upstream's answer stands
# open (60 ms). If there is more, upstream is asked for the first byte, and for the rest once all is
# hashed (0.9 s a GiB).
HASHED_WHILE_OPEN_BYTES: Final = 64 * 1024 * 1024


@frozen
class Left:
    """What a dead owner left."""

    length: int | None  # of the whole blob
    come: Coverage  # of a blob of known length
    counted: int  # bytes, for the quota; of a blob of unknown length, those of its beginning


@frozen
class Answer:
    """What the registry said. Exactly one of the two brings the blob, unless all of it is there."""

    length: int | None
    is_claim: bool  # whether its headers may be a blob's
    download: Download | None = None  # if nobody knows the length
    span: SpanDownload | None = None  # that has begun with the answer
    has_ranges: bool = True  # if not, only the whole can be had
    come: Coverage = field(factory=Coverage)
    left_bytes: int = 0
    is_told_by_range: bool = False  # how long it is, as far as is known


async def first_answer(
    upstream: Upstream, right: Right, first: ByteRanges | None, stack: AsyncExitStack
) -> Answer:
    """Ask for a blob of which nothing is there; raise `UpstreamError`.

    The answer stays open as long as the stack.
    """
    has_ranges = True
    if first is not None:
        answer, has_ranges = await _range_answer(upstream, right, first, stack)
        if answer is not None:
            return answer
    digest = right.key.digest
    download = await stack.enter_async_context(open_download(upstream, right.repository, digest))
    length, is_claim = download.length, download.answers.is_claim
    if length is None or not download.tells_length:
        return Answer(length, is_claim, download)
    span = SpanDownload(length, 0, length, download.answers.of_a_span())
    return Answer(length, is_claim, span=span, has_ranges=has_ranges)


async def _range_answer(
    upstream: Upstream, right: Right, first: ByteRanges, stack: AsyncExitStack
) -> tuple[Answer | None, bool]:
    """Ask for the range that is wanted first; return its answer, and whether others may be asked.

    No others: one of this blob was just refused, or lied. A range behind its end says nothing.
    """
    with suppress(UnexpectedAnswerError):
        if (answer := await _suffix_answer(upstream, right, first, stack)) is not None:
            return answer, answer.has_ranges
    try:
        answer = await _part_answer(upstream, right, first, stack)
    except RangeRefusedError as refused:
        return None, refused.total is not None and refused.total <= first_part(first)[0]
    except UnexpectedAnswerError:
        return None, False
    return answer, not upstream.lengths.was_mistold(right.key.digest)


async def _part_answer(
    upstream: Upstream, right: Right, wanted: ByteRanges, stack: AsyncExitStack
) -> Answer | None:
    """Ask for a part; None if the answer does not say how long the whole is, or one lately lied."""
    if upstream.lengths.was_mistold(right.key.digest):
        return None
    (first, last), digest = first_part(wanted), right.key.digest
    own = await stack.enter_async_context(AsyncExitStack())
    answer = await own.enter_async_context(
        upstream.fetch(Kind.BLOB, right.repository, digest, AskedRange(first, last))
    )
    part = answer.content_range
    length = answer.content_length if part is None else part.total
    if length is None or not upstream.lengths.may_be(digest, length):
        await own.aclose()
        return None
    begin, end = (0, length) if part is None else (first, min(last + 1, length))
    answers = AnswerSeries(upstream, right.repository, digest).begin_with(answer, own)
    span = SpanDownload(length, begin, end, answers)
    has_ranges = part is not None
    return Answer(
        length, answer.is_plain, span=span, has_ranges=has_ranges, is_told_by_range=has_ranges
    )


async def _suffix_answer(
    upstream: Upstream, right: Right, wanted: ByteRanges, stack: AsyncExitStack
) -> Answer | None:
    """Ask for the last bytes, if they are wanted; None if they are not to be had by themselves.

    Nobody knows yet where the checked piece begins that has the first of them. So up to 32 KiB are
    asked for before it, and let go of.
    """
    digest = right.key.digest
    (first, count) = wanted.asked[0]
    if first is not None or not 0 < (count or 0) <= SEGMENT_BYTES:
        return None
    if upstream.lengths.was_mistold(digest) or not upstream.ranges.gives_suffixes:
        return None
    own = await stack.enter_async_context(AsyncExitStack())
    answer = await own.enter_async_context(
        upstream.fetch(
            Kind.BLOB,
            right.repository,
            digest,
            AskedRange.of_the_end(max(count or 0, PIECE_BYTES) + ALIGNED_BYTES - 1),
        )
    )
    part = answer.content_range
    if part is None or part.total is None or not upstream.lengths.may_be(digest, part.total):
        await own.aclose()  # a whole answer would begin at the wrong end
        return None
    begin = aligned_end(part.first, part.total)
    chunks = _behind(answer.chunks(), begin - part.first)
    answers = AnswerSeries(upstream, right.repository, digest).begin_with(answer, own, chunks)
    span = SpanDownload(part.total, begin, part.total, answers)
    return Answer(part.total, answer.is_plain, span=span, is_told_by_range=True)


async def _behind(chunks: AsyncIterator[bytes], count: int) -> AsyncIterator[bytes]:
    """Yield what follows so many bytes."""
    async for chunk in chunks:
        rest, count = chunk[count:], max(0, count - len(chunk))
        if rest:
            yield rest


def first_part(wanted: ByteRanges) -> tuple[int, int]:
    """Return the first and the last byte that are asked for while nobody knows the length.

    A piece at least, because a blob that is not longer is verified before any of it is sent.
    """
    asked, last = wanted.asked[0]
    if asked is None:
        return 0, PIECE_BYTES - 1
    first, end = asked_part(asked, last, PIECE_BYTES)
    return first, end - 1


async def resumed_answer(
    upstream: Upstream, right: Right, left: Left, first: ByteRanges | None, stack: AsyncExitStack
) -> Answer:
    """Ask for what is missing of a blob; raise `UpstreamError`, also if the blob is denied."""
    if left.length is None:
        raise ValueError("it has no gaps that anybody knows of")
    # What else is missing is asked for when somebody waits for it.
    segment = next_segment(left.length, left.come, [], [_want_of(left.length, first)])
    if segment is None:
        await require_there(upstream, right.repository, right.key.digest)
        return Answer(left.length, is_claim=False, come=left.come, left_bytes=left.counted)
    answers = AnswerSeries(upstream, right.repository, right.key.digest)
    span = SpanDownload(left.length, segment.first, segment.end, answers)
    stack.push_async_callback(span.close)  # also if it does not begin
    try:
        await span.begin()
    except NoRangesError:
        answers = AnswerSeries(upstream, right.repository, right.key.digest, Asks.REST)
        span = SpanDownload(left.length, 0, left.length, answers)
        stack.push_async_callback(span.close)
        await span.begin()
    return Answer(
        left.length,
        answers.is_claim,
        span=span,
        has_ranges=not span.is_whole,
        come=left.come,
        left_bytes=left.counted,
        is_told_by_range=not span.is_whole,
    )


def _want_of(length: int, first: ByteRanges | None) -> Want:
    with suppress(UnsatisfiableRangeError):
        if first is not None:
            (span, *_) = first.spans(length)
            end = aligned_end(span.end, length)
            return Want(span.first, end, Ends.WITH_ITS_BYTES, is_all=False, is_open=span.is_open)
    return Want.whole(length)


async def resumed_in_order(
    upstream: Upstream, right: Right, size: int, hashed_while_open: int, stack: AsyncExitStack
) -> Answer:
    """Go on with a blob of unknown length from where it ended, so many bytes behind its beginning.

    If that is more than `hashed_while_open`, the rest is asked for when the beginning was hashed.
    """
    verifier, behind = PieceVerifier(right.key.digest, None), continue_download
    if size > hashed_while_open:
        await require_given_blob(upstream, right.repository, right.key.digest)
        behind = download_behind
    download = await stack.enter_async_context(behind(upstream, right.repository, verifier, size))
    return Answer(None, download.answers.is_claim, download, left_bytes=size)
