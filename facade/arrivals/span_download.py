"""The bytes of a span of a blob whose length is known, from upstream: resumed after a break.

A registry that answers a range with the whole does not fill gaps: the span becomes the whole, from
its first byte, if nobody else brings some of it. If not, or if it refuses the range, whoever asked
is told (`NoRangesError`), and asks for the whole.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Final, Protocol

from attrs import define, field, frozen

from facade.arrivals.breaks import (
    MIN_PART_BYTES,
    MIN_PROGRESS_BYTES,
    Breaks,
    asks_for_patience,
    is_break,
    says_nothing,
)
from facade.arrivals.early_readers import EarlyReader
from facade.arrivals.validator import Validator
from facade.errors import PullError
from facade.loop.outcome import Failed, outcome_of
from facade.loop.thread_work import until_done
from facade.registries.upstream import Upstream
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.answer import ContentRange, UpstreamAnswer
from shared.upstream.asked_range import AskedRange
from shared.upstream.errors import (
    BrokenBodyError,
    RangeRefusedError,
    UnexpectedAnswerError,
    UpstreamError,
    UpstreamTimeoutError,
)

# If a range told a wrong length, what it told of never comes: then the whole is asked for sooner.
DOUBTED_FAILURES: Final = 1


class NoRangesError(PullError):
    """The registry does not give this range of the blob. It may give the whole."""


class Others(Protocol):
    """The streams that bring a blob, as one of them asks them."""

    def may_bring_the_whole(self) -> bool:
        """Tell whether one may bring the whole instead of its span; then it brings all the rest."""

    def longer(self, end: int) -> int | None:
        """Return to where a stream may go on that has come to its end; None: it may not."""


@frozen
class _Nobody:
    """No other streams: a span may become the whole, and is no longer than it is."""

    def may_bring_the_whole(self) -> bool:
        return True

    def longer(self, end: int) -> None:
        del end


@define(eq=False)
class SpanDownload:
    """One span. Its end may be cut while it comes."""

    length: int  # of the whole blob
    reached: int  # bytes before it have come
    end: int
    _upstream: Upstream
    _repository: RepositoryName
    _digest: Digest
    is_whole: bool = False  # the whole is asked for, in one answer
    # Other streams bring the blob, too: each answer has to say that it is about the same bytes as
    # this one, and what is refused is not asked for again. None: it is taken as it comes.
    _beside: Validator | None = field(default=None, kw_only=True)
    # For whom it is asked for already: that answer is the first.
    _early: EarlyReader | None = field(default=None, kw_only=True)
    at: int = field(init=False)  # bytes before it may be read
    is_claim: bool = field(default=False, init=False)  # whether its headers may be a blob's
    validator: Validator | None = field(default=None, init=False)  # of its latest answer
    has_begun: bool = field(default=False, init=False)  # whether some of it has come
    _others: Others = field(factory=_Nobody, init=False)  # while it is read
    _stack: AsyncExitStack = field(factory=AsyncExitStack, init=False)
    _chunks: AsyncIterator[bytes] | None = field(default=None, init=False)
    _first: asyncio.Task[bytes | Failed] | None = field(default=None, init=False)  # chunk, so far
    _part: ContentRange | None = field(default=None, init=False)
    _answer_end: int = field(default=0, init=False)  # of what the present answer has
    _breaks: Breaks = field(init=False)
    # Whether it began with a range, which alone said how long the blob is.
    _doubts_ranges: bool = field(default=False, init=False)
    _furthest: int = field(default=0, init=False)  # when the present answer was asked for
    _resumes_whole: bool = field(default=True, init=False)  # if not, the whole begins again

    def __attrs_post_init__(self) -> None:
        """Nothing has come yet."""
        self._breaks = Breaks(self._repository, self._digest)
        self.at = self._furthest = self.reached

    def take_answer(
        self,
        chunks: AsyncIterator[bytes],
        stack: AsyncExitStack,
        *,
        part: ContentRange | None,
        is_claim: bool,
        validator: Validator | None,
    ) -> None:
        """Begin with an answer that has come already: from `reached` on, to the end of `part`."""
        self.validator = validator
        self._chunks, self._stack, self.is_claim = chunks, stack, is_claim
        self._part, self._answer_end = part, part.last + 1 if part else self.length
        self._doubts_ranges = part is not None

    def receive_first(self, show: Callable[[bytes, int], None]) -> None:
        """Receive the first chunk of the answer that has come; `chunks` yields it.

        `show` is told of it and of its place, as soon as it has come.
        """
        if self._chunks is not None:
            first = partial(self._shown_first, self._chunks, show)
            self._first = asyncio.create_task(outcome_of(first))
            self._chunks = _behind(self._first, self._chunks)
            self._stack.push_async_callback(self._end_first)  # before the answer is let go of

    async def _shown_first(
        self, chunks: AsyncIterator[bytes], show: Callable[[bytes, int], None]
    ) -> bytes:
        chunk = await anext(chunks, b"")
        show(chunk[: self.end - self.reached], self.reached)
        return chunk

    async def _end_first(self) -> None:
        if self._first is not None:
            self._first.cancel()
            await until_done(self._first)

    @property
    def has_the_rest(self) -> bool:
        """Whether the present answer goes on to the end of the blob."""
        return self._chunks is not None and self._answer_end == self.length

    async def begin(self) -> None:
        """Ask upstream now. Only what says nothing of the blob, as a link that expired, is retried.

        Raises as `chunks` does.
        """
        while self._chunks is None:
            try:
                await self._ask()
            except UpstreamError as error:
                if not (says_nothing(error) and await self._may_resume(error)):
                    raise

    def cut(self, end: int) -> None:
        """Bring no more than what is before an offset."""
        self.end = min(self.end, end)

    def bring_the_rest(self) -> None:
        """Go on to the end of the blob, as the present answer does (`has_the_rest`)."""
        self.end = self.length

    def note_written(self, end: int) -> None:
        """Note that its bytes before an offset may be read."""
        self.at = max(self.at, end)

    async def chunks(self, others: Others | None = None) -> AsyncIterator[bytes]:
        """Yield its bytes as they come. `others`: that bring the blob, too.

        Raises `NoRangesError`, `UnexpectedAnswerError` if an answer is about another length, or
        another `UpstreamError` if resuming was given up.
        """
        self._others = self._others if others is None else others
        while self.reached < self.end:
            try:
                if self._chunks is None:
                    await self._ask()
                async for part in self._wanted_of(self._chunks):
                    yield part
                if self.reached < self.end:
                    self._go_on()
            except UpstreamError as error:
                self._chunks = None
                if not is_break(error) or not await self._may_resume(error):
                    raise

    async def close(self) -> None:
        """Let go of upstream's answer."""
        self._chunks = None
        await self._stack.aclose()

    async def _wanted_of(self, chunks: AsyncIterator[bytes] | None) -> AsyncIterator[bytes]:
        """Yield what of an answer is wanted, up to the end, wherever that is by then."""
        if chunks is None:
            return
        async for chunk in chunks:
            self.has_begun, rest = True, chunk
            while rest:
                if self.reached >= self.end and not self._is_longer():
                    return
                part = rest[: self.end - self.reached]
                rest = rest[len(part) :]
                self.reached += len(part)
                if self.reached - self._furthest >= MIN_PROGRESS_BYTES:
                    self._breaks.make_up()
                yield part
            if self.reached >= self.end and not self._is_longer():
                return

    def _is_longer(self) -> bool:
        """Go on where the answer has more of what is wanted."""
        if self.end >= self._answer_end:
            return False
        before, longer = self.end, self._others.longer(self.end)
        self.end = max(before, min(longer or 0, self._answer_end))
        return self.end > before

    def _go_on(self) -> None:
        """Ask for the next part after a 206 with less than was asked for (RFC 9110, 14.4)."""
        part, self._chunks = self._part, None
        if part is not None and part.length < MIN_PROGRESS_BYTES and self.reached == part.last + 1:
            if self.is_whole:
                self._resumes_whole = False
                raise BrokenBodyError("the registry gives very little of a range")
            raise NoRangesError("the registry gives very little of a range")
        if part is None or self.reached != part.last + 1 or part.length < MIN_PART_BYTES:
            raise BrokenBodyError("the body ended early")

    async def _ask(self) -> None:
        """Ask the registry, so that a link is a new one.

        The rest of the whole is asked for as a range, too, as long as the registry gives it.
        """
        try:
            await self._ask_once()
        except (NoRangesError, UnexpectedAnswerError):
            if not (self.is_whole and self.reached and self._resumes_whole):
                raise
            self._resumes_whole = False
            await self._ask_once()

    async def _ask_once(self) -> None:
        """Ask for what is missing. The range names its end: some registries refuse open ranges."""
        await self._stack.aclose()
        self._furthest = max(self._furthest, self.reached)
        if self.is_whole and not self._resumes_whole:
            self.reached, self.end = 0, self.length
        asks_range = self.reached or self.end < self.length
        try:
            fetch = self._fetch(self.end - 1 if asks_range else None)
            answer = await self._stack.enter_async_context(fetch)
        except RangeRefusedError as refused:
            self._require_same_length(self._told_total(refused))
            raise NoRangesError("the registry refuses a range") from refused
        self._take(answer, asks_range=bool(asks_range))

    def _fetch(self, last_byte: int | None) -> AbstractAsyncContextManager[UpstreamAnswer]:
        early, self._early = self._early, None
        if early is not None:
            return early.answered()
        return self._upstream.fetch(
            Kind.BLOB,
            self._repository,
            self._digest,
            AskedRange(self.reached, last_byte),
            is_resumed=True,
        )

    def _take(self, answer: UpstreamAnswer, *, asks_range: bool) -> None:
        span = self._part = answer.content_range
        self._require_same_length(span.total if span else answer.content_length)
        self.validator = Validator.of(answer, self._digest)
        self._require_alike(span)
        if span is None and asks_range:
            if not self._others.may_bring_the_whole():
                raise NoRangesError("the registry answers a range with the whole")
            self.is_whole, self.reached, self.end = True, 0, self.length
        self.is_claim = answer.is_plain
        self._chunks = answer.chunks()
        self._answer_end = span.last + 1 if span else self.length

    def _require_alike(self, span: ContentRange | None) -> None:
        """Take no answer beside others of which nobody says that it is about the same bytes."""
        if self._beside is None or self.validator is None:
            return
        if span is None or span.total is None or not self._beside.fits(self.validator):
            raise UnexpectedAnswerError("an answer does not say what the others of its blob do")

    def _told_total(self, refused: RangeRefusedError) -> int | None:
        """Return the length that a refusal tells, unless it contradicts itself."""
        total = refused.total
        return total if total is not None and total <= self.reached else None

    def _require_same_length(self, total: int | None) -> None:
        if total not in (None, self.length):
            raise UnexpectedAnswerError("a resumed answer has another total length")

    def _is_refused(self, error: UpstreamError) -> bool:
        """Tell whether a stream beside others is one too many for the registry, as far as it says.

        It would keep its span from the others as long as the registry has told it to wait.
        """
        if self._beside is None or says_nothing(error):
            return False
        return not self.has_begun or asks_for_patience(error)

    async def _may_resume(self, error: UpstreamError) -> bool:
        """Tell, after the pause before a retry, whether to try again."""
        may_be_asked = self._breaks.count()
        if self._is_refused(error) or not may_be_asked:
            return False
        is_silent = isinstance(error, UpstreamTimeoutError)
        if self._doubts_ranges and (is_silent or self._breaks.in_a_row > DOUBTED_FAILURES):
            raise NoRangesError(
                "the registry does not give what its first range told of"
            ) from error
        await self._breaks.pause(error, self.reached)
        return True


async def _behind(
    first: asyncio.Task[bytes | Failed], chunks: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """Yield a first chunk, which is being received, and what follows; nothing if it is empty."""
    chunk = await asyncio.shield(first)
    if isinstance(chunk, Failed):
        raise chunk.own()
    if chunk:
        yield chunk
        async for chunk in chunks:
            yield chunk
