"""What is sent for ranges of a blob, read by a parser that is not ours, against slices of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from aiohttp import web
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from facade.arrivals.arrival import ArrivalEndedError
from facade.content.source import BlobPart
from facade.loop.loop_turns import LoopTurns
from facade.pulls.blob_body import (
    EXPECTED_PARTS,
    GATHERED_BYTES,
    PARTS_A_STEP,
    BlobBody,
    blob_body,
)
from facade.pulls.relay import WRITE_BYTES
from facade.values.byte_range import ByteRanges, Span, UnsatisfiableRangeError
from facade.values.piece import Piece
from tests.support.eventually import PATIENCE_SECONDS
from tests.support.multipart import RangePart, range_parts

MEDIA_TYPE = "application/octet-stream"


@define
class Pieces:
    """Content in pieces of a size, most of them without waiting."""

    content: bytes
    size: int
    waits_every: int  # 1: for each
    given: int = field(default=0, init=False)

    def __aiter__(self) -> AsyncIterator[Piece]:
        """Return itself."""
        return self

    def next_nowait(self) -> Piece | None:
        """Return the next piece, unless it has to be waited for."""
        self.given += 1
        return None if self.given % self.waits_every == 0 else self._next()

    async def __anext__(self) -> Piece:
        """Return the next piece."""
        if self.content:
            await asyncio.sleep(0)
        if (piece := self._next()) is None:
            raise StopAsyncIteration
        return piece

    def _next(self) -> Piece | None:
        piece, self.content = self.content[: self.size], self.content[self.size :]
        return memoryview(piece) if piece else None


@define
class MadeBlob:
    """A blob of given bytes, whose parts are what a test wants."""

    content: bytes
    size: int = 1000
    waits_every: int = 3
    gives_spans: bool = True
    verifies_parts: bool = True
    is_verified: Callable[[Span], bool] = lambda _: True
    opened: list[Span] = field(factory=list, init=False)
    expected: list[Span] = field(factory=list, init=False)  # each once, in order
    furthest: int = field(default=0, init=False)  # how many were expected, or opened, at most
    before_part: Callable[[Span], Awaitable[None]] | None = None

    @property
    def length(self) -> int:
        """Bytes of it."""
        return len(self.content)

    def expect(self, spans: Sequence[Span]) -> None:
        """Note them."""
        self.expected += [each for each in spans if each not in self.expected]
        self.furthest = max(self.furthest, len(self.expected) - len(self.opened))

    async def whole(self) -> BlobPart:
        """Return all of it."""
        return await self.part(Span.whole(self.length))

    async def part(self, span: Span) -> BlobPart:
        """Return a span."""
        self.opened.append(span)
        if self.before_part is not None:
            await self.before_part(span)
        content = self.content[span.first : span.end]
        return BlobPart(Pieces(content, self.size, self.waits_every), self.is_verified(span))


@define
class Sent:
    """What a device would get."""

    head: web.StreamResponse
    body: bytes
    content_bytes: int  # as it is counted
    largest: int  # bytes that were handed over at once

    @property
    def parts(self) -> list[RangePart]:
        """The parts of the body."""
        return range_parts(self.head.headers["Content-Type"], self.body)


async def answered(header: str | None, blob: MadeBlob) -> Sent:
    """Return the answer to a `Range` header, with its bytes counted as the relay counts them."""
    response = web.StreamResponse(headers={"Content-Type": MEDIA_TYPE})
    body = await blob_body(
        response, ByteRanges.parse(header) if header else None, blob, LoopTurns(1)
    )
    return await collected(response, body)


async def collected(response: web.StreamResponse, body: BlobBody) -> Sent:
    """Take a body as the relay does."""
    received, counted, largest = bytearray(), 0, 0
    async for piece in body.pieces:
        largest = max(largest, len(piece))
        for start in range(0, len(piece), WRITE_BYTES):
            written = piece[start : start + WRITE_BYTES]
            received += written
            counted += body.content_in(len(written))
    assert response.content_length == len(received)
    return Sent(response, bytes(received), counted, largest)


BOUNDS = st.none() | st.integers(0, 320)
# Hyphens and line breaks: what could be taken for a boundary, or for the end of a line.
CONTENT = st.binary(max_size=300) | st.text("-\r\n", max_size=300).map(str.encode)


@given(
    content=CONTENT,
    asked=st.lists(st.tuples(BOUNDS, BOUNDS).filter(lambda each: each != (None, None)), min_size=1),
    size=st.integers(1, 40),
    waits_every=st.integers(1, 4),
    verifies_parts=st.booleans(),
)
async def test_the_parts_are_the_slices_in_the_order_asked(
    content: bytes,
    asked: list[tuple[int | None, int | None]],
    size: int,
    waits_every: int,
    verifies_parts: bool,  # noqa: FBT001 - given by Hypothesis
) -> None:
    """Whatever the ranges, the blob, and how its bytes come; the announced length is the body's."""
    header = "bytes=" + ",".join(
        f"{'' if first is None else first}-{'' if last is None else last}" for first, last in asked
    )
    ranges = ByteRanges.parse(header)
    if ranges is None:
        return
    blob = MadeBlob(content, size, waits_every, verifies_parts=verifies_parts)
    slices = [each for first, last in asked if (each := sliced(content, first, last))]
    if not slices:
        with pytest.raises(UnsatisfiableRangeError):
            await answered(header, blob)
        return
    sent = await answered(header, blob)
    if ranges.spans(len(content)).is_wasteful:
        assert (sent.head.status, sent.body) == (200, content)
        assert sent.head.headers["Content-Type"] == MEDIA_TYPE
    elif len(slices) == 1:
        assert (sent.head.status, sent.body) == (206, slices[0][1])
        assert sent.head.headers["Content-Range"] == slices[0][0]
        assert sent.head.headers["Content-Type"] == MEDIA_TYPE
    else:
        assert sent.head.status == 206
        assert "Content-Range" not in sent.head.headers
        assert sent.parts == [RangePart(each[0], MEDIA_TYPE, each[1]) for each in slices]
        assert sent.content_bytes == sum(len(each[1]) for each in slices)


def sliced(content: bytes, first: int | None, last: int | None) -> tuple[str, bytes] | None:
    """Return `Content-Range` and bytes of a range; None if it is not satisfiable."""
    begin = max(0, len(content) - (last or 0)) if first is None else first
    end = len(content) if first is None or last is None else min(last + 1, len(content))
    if begin >= end:
        return None
    return f"bytes {begin}-{end - 1}/{len(content)}", content[begin:end]


async def test_small_parts_are_sent_together_and_large_ones_as_they_are_read() -> None:
    """A packet for each of a thousand parts would cost more than all else."""
    blob = MadeBlob(bytes(2**20), size=2**17, waits_every=2)
    small = ",".join(f"{at}-{at}" for at in range(0, 2000, 2))
    sent = await answered(f"bytes={small},4096-", blob)
    assert len(sent.parts) == 1001
    assert sent.largest == 2**17
    body = await blob_body(
        web.StreamResponse(), ByteRanges.parse(f"bytes={small}"), blob, LoopTurns(1)
    )
    pieces = [bytes(piece) async for piece in body.pieces]
    assert len(pieces) == -(-sum(map(len, pieces)) // GATHERED_BYTES)


async def test_a_part_that_is_there_does_not_wait_for_the_next() -> None:
    """Upstream may take long to begin; and what it did not begin is not in the answer's way."""
    asked = asyncio.Event()

    async def wait_for_second(span: Span) -> None:
        if span.first:
            asked.set()
            await asyncio.Event().wait()

    blob = MadeBlob(bytes(100), verifies_parts=False, before_part=wait_for_second)
    body = await blob_body(
        web.StreamResponse(), ByteRanges.parse("bytes=0-9,50-59"), blob, LoopTurns(1)
    )
    pieces = aiter(body.pieces)
    async with asyncio.timeout(PATIENCE_SECONDS):
        first = await anext(pieces)
    assert bytes(10) in bytes(first)
    assert not asked.is_set()
    waiting = asyncio.ensure_future(anext(pieces))
    await asked.wait()
    assert not waiting.done()
    waiting.cancel()


@pytest.mark.parametrize("count", [2, EXPECTED_PARTS, 5 * EXPECTED_PARTS])
async def test_some_parts_are_expected_before_those_before_them_are_sent(count: int) -> None:
    """Each is a round trip to the registry; but a device may ask for a thousand, and leave."""
    blob = MadeBlob(bytes(count * 100), verifies_parts=False)
    ranges = ",".join(f"{place}-{place + 9}" for place in range(0, count * 100, 100))
    sent = await answered(f"bytes={ranges}", blob)
    assert len(sent.parts) == count
    assert blob.expected == blob.opened
    assert blob.furthest == min(count, 1 + EXPECTED_PARTS)


async def test_nothing_is_handed_over_before_the_first_part_has_begun() -> None:
    """So that an error of upstream's is still answered with its own status."""

    async def fail(_span: Span) -> None:
        raise ArrivalEndedError

    blob = MadeBlob(bytes(100), before_part=fail)
    body = await blob_body(
        web.StreamResponse(), ByteRanges.parse("bytes=0-9,50-59"), blob, LoopTurns(1)
    )
    with pytest.raises(ArrivalEndedError):
        await anext(aiter(body.pieces))


async def test_an_answer_that_was_not_marked_has_no_unverified_part() -> None:
    """A stored blob whose second part turned out to be rotten is brought again, and relayed."""
    blob = MadeBlob(bytes(100), is_verified=lambda span: span.first == 0)
    body = await blob_body(
        web.StreamResponse(), ByteRanges.parse("bytes=0-9,50-59"), blob, LoopTurns(1)
    )
    assert body.is_verified
    with pytest.raises(ArrivalEndedError):
        [piece async for piece in body.pieces]
    marked = MadeBlob(bytes(100), verifies_parts=False, is_verified=lambda span: span.first == 0)
    body = await blob_body(
        web.StreamResponse(), ByteRanges.parse("bytes=0-9,50-59"), marked, LoopTurns(1)
    )
    assert not body.is_verified
    assert [piece async for piece in body.pieces]


async def test_a_part_of_another_length_ends_the_answer() -> None:
    """It would push all that follows to another place."""
    blob = MadeBlob(bytes(100))
    blob_of_fifty = MadeBlob(bytes(50))
    body = await blob_body(
        web.StreamResponse(), ByteRanges.parse("bytes=0-9,45-59"), blob, LoopTurns(1)
    )
    blob.content = blob_of_fifty.content
    with pytest.raises(ArrivalEndedError):
        [piece async for piece in body.pieces]


async def test_what_can_be_read_only_once_is_given_whole() -> None:
    """A blob that no store keeps would be bought for each part."""
    content = bytes(range(100))
    blob = MadeBlob(content, gives_spans=False)
    sent = await answered("bytes=0-9,50-59", blob)
    assert (sent.head.status, sent.body) == (200, content)
    assert len(blob.opened) == 1
    sent = await answered("bytes=5-9,200-", MadeBlob(content, gives_spans=False))
    assert (sent.head.status, sent.body) == (206, content[5:10])


async def test_what_is_given_up_on_the_way_ends_the_answer() -> None:
    """Instead of buying the rest of the blob for each of the parts to come."""
    blob = MadeBlob(bytes(100))

    async def give_up(_span: Span) -> None:
        blob.gives_spans = False

    blob.before_part = give_up
    body = await blob_body(
        web.StreamResponse(), ByteRanges.parse("bytes=0-9,50-59"), blob, LoopTurns(1)
    )
    with pytest.raises(ArrivalEndedError):
        [piece async for piece in body.pieces]
    assert len(blob.opened) == 1


async def test_others_have_their_turn_between_parts() -> None:
    """The store reads and checks 32 KiB for the smallest part."""
    blob = MadeBlob(bytes(10_000), waits_every=10**9)
    header = "bytes=" + ",".join(f"{at}-{at}" for at in range(0, 2048, 2))
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.ensure_future(count_turns())
    await answered(header, blob)
    counting.cancel()
    assert turns > len(range(0, 2048, 2)) // PARTS_A_STEP // 2


async def test_boundaries_are_never_the_same() -> None:
    """Whoever wrote the blob cannot know one beforehand."""
    heads = [
        (await answered("bytes=0-1,5-6", MadeBlob(bytes(10)))).head.headers["Content-Type"]
        for _ in range(2)
    ]
    assert heads[0] != heads[1]
