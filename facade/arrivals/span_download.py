"""The bytes of a span of a blob whose length is known, from upstream: resumed after a break.

A registry that answers a range with the whole does not fill gaps: the span becomes the whole, from
its first byte, if nobody else brings some of it. If not, or if it refuses the range, whoever asked
is told (`NoRangesError`), and asks for the whole. What is asked for, `answer_series` draws.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from attrs import define, field

from facade.arrivals.answer_series import AnswerSeries, Asks, told_total
from facade.arrivals.breaks import MIN_PROGRESS_BYTES, asks_for_patience, is_break, says_nothing
from facade.arrivals.early_readers import EarlyReader
from facade.arrivals.validator import Validator
from facade.errors import PullError
from shared.upstream.answer import UpstreamAnswer
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


@define(eq=False)
class SpanDownload:
    """One span. Its end may be cut while it comes."""

    length: int  # of the whole blob
    reached: int  # bytes before it have come
    end: int
    answers: AnswerSeries
    # Other streams bring the blob, too: each answer has to say that it is about the same bytes as
    # this one, and what is refused is not asked for again. None: it is taken as it comes.
    _beside: Validator | None = field(default=None, kw_only=True)
    # For whom it is asked for already: that answer is the first.
    _early: EarlyReader | None = field(default=None, kw_only=True)
    at: int = field(init=False)  # bytes before it may be read
    has_begun: bool = field(default=False, init=False)  # whether some of it has come
    _others: Others | None = field(default=None, init=False)  # None: none, or it is not read yet
    # Whether it began with a range, which alone said how long the blob is.
    _doubts_ranges: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Nothing has come yet."""
        self.at = self.reached
        self._doubts_ranges = self.answers.part is not None
        self.answers.breaks.note_asked(self.reached)

    def receive_first(self, show: Callable[[bytes, int], None]) -> None:
        """Receive its first chunk now; `show` is told of it and of its place when it has come."""
        self.answers.receive_first(
            lambda chunk: show(chunk[: self.end - self.reached], self.reached)
        )

    @property
    def is_whole(self) -> bool:
        """Whether the whole is asked for."""
        return self.answers.asks is not Asks.SPAN

    @property
    def has_the_rest(self) -> bool:
        """Whether the present answer goes on to the end of the blob."""
        return self.answers.chunks is not None and self._answer_end == self.length

    @property
    def _answer_end(self) -> int:
        """The end of what the present answer has."""
        return self.length if self.answers.part is None else self.answers.part.last + 1

    async def begin(self) -> None:
        """Ask now; raise as `chunks` does."""
        await self.answers.begin(self._ask, self.reached)

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
        self._others = others
        while self.reached < self.end:
            try:
                if self.answers.chunks is None:
                    await self._ask()
                async for part in self._wanted_of(self.answers.chunks):
                    yield part
                if self.reached < self.end:
                    self._go_on()
            except UpstreamError as error:
                self.answers.drop()
                if not is_break(error) or not await self._may_resume(error):
                    raise

    async def close(self) -> None:
        """Let go of upstream's answer."""
        self.answers.drop()
        await self.answers.close()

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
                self.answers.breaks.note_come(self.reached)
                yield part
            if self.reached >= self.end and not self._is_longer():
                return

    def _is_longer(self) -> bool:
        """Go on where the answer has more of what is wanted."""
        if self.end >= self._answer_end:
            return False
        before, longer = self.end, self._others.longer(self.end) if self._others else None
        self.end = max(before, min(longer or 0, self._answer_end))
        return self.end > before

    def _go_on(self) -> None:
        """Ask for the next part, unless the registry gives too little of a range."""
        part = self.answers.part
        if part is not None and part.length < MIN_PROGRESS_BYTES and self.reached == part.last + 1:
            little = "the registry gives very little of a range"
            if self.answers.asks is Asks.SPAN:
                raise NoRangesError(little)
            self.answers.go_over(Asks.WHOLE)
            raise BrokenBodyError(little)
        self.answers.require_next_part(self.reached)

    async def _ask(self) -> None:
        """Ask the registry; for the whole if it does not give the rest of that as a range."""
        try:
            await self._ask_once()
        except (NoRangesError, UnexpectedAnswerError):
            if self.answers.asks is not Asks.REST or not self.reached:
                raise
            self.answers.go_over(Asks.WHOLE)
            await self._ask_once()

    async def _ask_once(self) -> None:
        """Ask for what is missing. The range names its end: some registries refuse open ranges."""
        came_to = self.reached
        if self.answers.asks is Asks.WHOLE:
            self.reached, self.end = 0, self.length
        is_range = self.reached > 0 or self.end < self.length
        asked = AskedRange(self.reached, self.end - 1 if is_range else None)
        early, self._early = self._early, None
        try:
            answer = await self.answers.ask(asked, came_to, early)
        except RangeRefusedError as refused:
            self._require_same_length(told_total(refused, self.reached))
            raise NoRangesError("the registry refuses a range") from refused
        self._take(answer, is_range=is_range)

    def _take(self, answer: UpstreamAnswer, *, is_range: bool) -> None:
        span = answer.content_range
        self._require_same_length(span.total if span else answer.content_length)
        self._require_alike(answer)
        if span is None and is_range:
            if self._others is not None and not self._others.may_bring_the_whole():
                raise NoRangesError("the registry answers a range with the whole")
            self.answers.go_over(Asks.REST)
            self.reached, self.end = 0, self.length
        self.answers.take(answer)

    def _require_alike(self, answer: UpstreamAnswer) -> None:
        """Take no answer beside others of which nobody says that it is about the same bytes."""
        if self._beside is None:
            return
        span, validator = answer.content_range, Validator.of(answer, self.answers.digest)
        if span is None or span.total is None or not self._beside.fits(validator):
            raise UnexpectedAnswerError("an answer does not say what the others of its blob do")

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
        if self._is_refused(error):
            return False
        breaks, is_silent = self.answers.breaks, isinstance(error, UpstreamTimeoutError)
        if self._doubts_ranges and (is_silent or breaks.in_a_row >= DOUBTED_FAILURES):
            raise NoRangesError(
                "the registry does not give what its first range told of"
            ) from error
        return await breaks.may_resume(error, self.reached)
