"""One answer of the registry after the other, about one blob: both kinds of download have them.

A download asks again when an answer breaks off or ends early, and when it is read on after it was
let go of. What it asks for, `Asks` says:

             the whole comes instead,            a range is refused,
             and no other stream brings some     or does not fit
       SPAN ─────────────────────────────► REST ────────────────────► WHOLE

Everything that changes that is `AnswerSeries.go_over`. It never goes back.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from enum import Enum, auto
from functools import partial
from typing import Final, Self

from attrs import define, field

from facade.arrivals.breaks import FIRST_RESUME_DELAY_SECONDS, MIN_PART_BYTES, Breaks, says_nothing
from facade.arrivals.early_readers import EarlyReader
from facade.arrivals.validator import Validator
from facade.loop.outcome import Failed, outcome_of
from facade.loop.thread_work import until_done
from facade.registries.upstream import Upstream
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.answer import ContentRange, UpstreamAnswer
from shared.upstream.asked_range import AskedRange
from shared.upstream.errors import BrokenBodyError, RangeRefusedError, UpstreamError


class Asks(Enum):
    """What a download asks the registry for."""

    SPAN = auto()  # what is missing of a span
    REST = auto()  # what is missing of the whole: as a range, once some of it has come
    WHOLE = auto()  # the whole, from its first byte, each time


_NEXT: Final = {
    Asks.SPAN: {Asks.REST},
    Asks.REST: {Asks.REST, Asks.WHOLE},
    Asks.WHOLE: {Asks.WHOLE},
}


@define(eq=False)
class AnswerSeries:
    """The answers to one download. One is open at a time."""

    _upstream: Upstream
    _repository: RepositoryName
    digest: Digest
    asks: Asks = Asks.SPAN
    _first_delay_seconds: float = FIRST_RESUME_DELAY_SECONDS
    breaks: Breaks = field(init=False)
    chunks: AsyncIterator[bytes] | None = field(default=None, init=False)  # None: none is open
    _answer: UpstreamAnswer | None = field(default=None, init=False)  # the latest one
    _stack: AsyncExitStack = field(factory=AsyncExitStack, init=False)

    def __attrs_post_init__(self) -> None:
        """Nothing has been asked yet."""
        self.breaks = Breaks(self._repository, self.digest, self._first_delay_seconds)

    def go_over(self, asks: Asks) -> None:
        """Ask for something else from now on; raise `RuntimeError` if it does not follow."""
        if asks not in _NEXT[self.asks]:
            raise RuntimeError(f"{asks.name} does not follow {self.asks.name}")
        self.asks = asks

    @property
    def part(self) -> ContentRange | None:
        """What of the blob the latest answer has, if it is a 206."""
        return None if self._answer is None else self._answer.content_range

    @property
    def is_claim(self) -> bool:
        """Whether the latest answer's headers may be a blob's."""
        return self._answer is not None and self._answer.is_plain

    @property
    def validator(self) -> Validator | None:
        """What the latest answer says of which bytes it has some of."""
        return None if self._answer is None else Validator.of(self._answer, self.digest)

    def begin_with(
        self,
        answer: UpstreamAnswer,
        stack: AsyncExitStack,
        chunks: AsyncIterator[bytes] | None = None,
    ) -> Self:
        """Begin with an answer that is open as long as a stack. `chunks`: what to read of it."""
        self._stack = stack
        self.take(answer, chunks)
        return self

    def of_a_span(self) -> "AnswerSeries":
        """Return a series that begins with the present answer, and goes on with a span."""
        answers = AnswerSeries(self._upstream, self._repository, self.digest)
        if self._answer is not None:
            answers.begin_with(self._answer, self._stack, self.chunks)
        return answers

    def receive_first(self, show: Callable[[bytes], None]) -> None:
        """Receive the first chunk of the present answer now; `chunks` yields it all the same.

        `show` is told of it as soon as it has come.
        """
        if self.chunks is not None:
            first = asyncio.create_task(outcome_of(partial(_shown_first, self.chunks, show)))
            self.chunks = _behind(first, self.chunks)
            self._stack.push_async_callback(_ended, first)  # before the answer is let go of

    async def begin(self, ask: Callable[[], Awaitable[None]], reached: int) -> None:
        """Ask now. Only what says nothing of the blob, as a link that expired, is tried again.

        Raises as `ask` does.
        """
        while True:
            try:
                return await ask()
            except UpstreamError as error:
                if not (says_nothing(error) and await self.breaks.may_resume(error, reached)):
                    raise

    async def ask(
        self, asked: AskedRange, reached: int, early: EarlyReader | None = None
    ) -> UpstreamAnswer:
        """Let go of the present answer and ask again, so that a link is a new one.

        `reached`: bytes before it have come. `early`: for whom that is asked for already. The
        answer is read once it is taken (`take`).
        """
        await self.close()
        self.breaks.note_asked(reached)
        if early is not None:
            return await self._stack.enter_async_context(early.answered())
        return await self._stack.enter_async_context(
            self._upstream.fetch(Kind.BLOB, self._repository, self.digest, asked, is_resumed=True)
        )

    def take(self, answer: UpstreamAnswer, chunks: AsyncIterator[bytes] | None = None) -> None:
        """Have an answer be what is read now."""
        self._answer, self.chunks = answer, answer.chunks() if chunks is None else chunks

    def take_no_more(self) -> None:
        """Have nothing be read now: the registry says that there is no more."""
        self.chunks = no_chunks()

    def drop(self) -> None:
        """Read no more of the present answer: the next bytes are asked for."""
        self.chunks = None

    async def close(self) -> None:
        """Let go of the present answer."""
        await self._stack.aclose()

    def require_next_part(self, reached: int) -> None:
        """Go on after a 206 with less than was asked for (RFC 9110 section 14.4).

        Raises `BrokenBodyError` if the body ended otherwise.
        """
        part = self.part
        self.drop()
        if part is None or reached != part.last + 1 or part.length < MIN_PART_BYTES:
            raise BrokenBodyError("the body ended early")


def told_total(refused: RangeRefusedError, reached: int) -> int | None:
    """Return the length of the whole that the refusal of a range from `reached` on tells.

    One that names more bytes than the range left out contradicts itself, and counts as naming none.
    """
    return refused.total if refused.total is not None and refused.total <= reached else None


async def _shown_first(chunks: AsyncIterator[bytes], show: Callable[[bytes], None]) -> bytes:
    chunk = await anext(chunks, b"")
    show(chunk)
    return chunk


async def _ended(task: asyncio.Task[bytes | Failed]) -> None:
    task.cancel()
    await until_done(task)


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


async def no_chunks() -> AsyncIterator[bytes]:
    """Yield nothing."""
    nothing: tuple[bytes, ...] = ()
    for chunk in nothing:
        yield chunk
