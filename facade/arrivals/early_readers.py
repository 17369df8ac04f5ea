"""Readers of a blob who come before anybody knows how long it is.

The registry's first answer says that. Whoever waits for another range of the same blob need not
wait for that answer first: its range is asked for beside it, so each of them takes one round trip.
Only a registry that has just given a range is asked so: another one would give the whole each time.
What is asked for here lies apart from everything else that is asked for, so nothing comes twice.

What each of them wants is known as soon as the length is, and until it leaves. So what has been
asked for is not taken for unwanted before its reader has had its turn.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from attrs import define, field

from facade.arrivals.gaps import ALIGNED_BYTES, MAX_STREAMS, SEGMENT_BYTES
from facade.arrivals.want import LEAST_AHEAD_BYTES, Ends, Want
from facade.loop.outcome import Failed, outcome_of
from facade.loop.thread_work import until_done
from facade.registries.spender import Spender, spender_now, spending
from facade.registries.upstream import Upstream
from facade.rights.right import Right
from facade.values.byte_range import ByteRanges
from facade.values.piece import PIECE_BYTES
from shared.oci import Kind
from shared.upstream.answer import UpstreamAnswer
from shared.upstream.asked_range import AskedRange

MAX_EARLY: Final = MAX_STREAMS - 1  # asked for, of one blob, beside its first answer


def asked_part(first: int, last: int | None, least: int = 1) -> tuple[int, int]:
    """Return the checked pieces to ask for, from a first byte to an end: `least` bytes at least."""
    begin = first - first % ALIGNED_BYTES
    most = begin + LEAST_AHEAD_BYTES if last is None else last + 1
    end = min(max(most, begin + least), begin + SEGMENT_BYTES)
    return begin, end + -end % ALIGNED_BYTES


@define(eq=False)
class EarlyReader:
    """One of them."""

    wanted: ByteRanges | None  # what of the blob it wants first; None: all of it
    span: tuple[int, int] | None  # what is asked for it: first byte and end, perhaps behind the end
    payer: Spender = field(factory=spender_now, init=False)
    want: Want | None = field(default=None, init=False)  # None: the length is not known yet
    _stack: AsyncExitStack = field(factory=AsyncExitStack, init=False)
    _asking: asyncio.Task[UpstreamAnswer | Failed] | None = field(default=None, init=False)

    def part(self, length: int) -> tuple[int, int] | None:
        """Return what of a blob of this length is asked for it; None if nothing."""
        if self._asking is None or self.span is None or self.span[0] >= length:
            return None
        return self.span[0], min(self.span[1], length)

    def ask(self, upstream: Upstream, right: Right) -> None:
        """Have the registry asked for its range now, at its cost."""
        if self.span is None:
            return
        first, end = self.span
        fetch = upstream.fetch(
            Kind.BLOB,
            right.repository,
            right.key.digest,
            AskedRange(first, end - 1),
            is_resumed=True,
        )
        with spending(self.payer):
            ask = partial(self._stack.enter_async_context, fetch)
            self._asking = asyncio.create_task(outcome_of(ask))

    def note(self, length: int) -> Want | None:
        """Return what it wants of a blob of this length; None if it wants what lies behind it."""
        with spending(self.payer):
            self.want = _want_of(self.wanted, length)
        return self.want

    @asynccontextmanager
    async def answered(self) -> AsyncIterator[UpstreamAnswer]:
        """Give the answer to what was asked; raise `UpstreamError`."""
        if self._asking is None:
            raise ValueError("nothing was asked for it")
        try:
            outcome = await asyncio.shield(self._asking)
            if isinstance(outcome, Failed):
                raise outcome.own()
            yield outcome
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of its answer."""
        if self._asking is not None:
            self._asking.cancel()
            await until_done(self._asking)
        await self._stack.aclose()


def _want_of(wanted: ByteRanges | None, length: int) -> Want | None:
    if wanted is None:
        return Want.whole(length)
    first, last = wanted.asked[0]
    if first is None:
        first, last = max(0, length - (last or 0)), length - 1
    elif last is None:
        last = first + LEAST_AHEAD_BYTES - 1
    end = min(last + 1, length)
    return Want(first, end, Ends.WITH_ITS_BYTES, is_all=False) if first < end else None


@define(eq=False)
class EarlyReaders:
    """Those of one blob whose first answer is waited for. For one event loop."""

    _right: Right
    _first: ByteRanges | None  # what the first answer is about; None: the whole
    _upstream: Upstream | None = field(default=None, init=False)  # from `begin` on
    _readers: list[EarlyReader] = field(factory=list, init=False)
    _is_over: bool = field(default=False, init=False)

    def add(self, wanted: ByteRanges | None) -> EarlyReader | None:
        """Note one who waits; None if nobody waits for the first answer any more."""
        if self._is_over:
            return None
        reader = EarlyReader(wanted, self._free(wanted))
        self._readers.append(reader)
        self._ask(reader)
        return reader

    async def remove(self, reader: EarlyReader) -> None:
        """Note that one has left."""
        if reader in self._readers:
            self._readers.remove(reader)
            await reader.close()

    def begin(self, upstream: Upstream) -> None:
        """Ask for what they want from now on: the first answer is being asked for."""
        self._upstream = upstream
        for each in self._readers:
            self._ask(each)

    def end(self) -> list[EarlyReader]:
        """Return those who have waited: the length is known."""
        self._is_over = True
        return self._readers

    async def asked_of(self, length: int) -> list[EarlyReader]:
        """Return those for whom a part of so many bytes is asked for; let go of what else is."""
        readers = list(self._readers)  # some may leave meanwhile
        for each in readers:
            if each.part(length) is None:
                await each.close()
        return [each for each in readers if each.part(length) is not None]

    async def close(self) -> None:
        """Let go of all that was asked for, and ask for nothing more."""
        self._is_over = True
        await self.asked_of(0)

    def _ask(self, reader: EarlyReader) -> None:
        if self._upstream is not None and self._upstream.ranges.gives:
            reader.ask(self._upstream, self._right)

    def _free(self, wanted: ByteRanges | None) -> tuple[int, int] | None:
        """Return what to ask for, up to what is asked for already; None if that begins it."""
        taken = self._taken()
        (first, last) = (None, None) if wanted is None else wanted.asked[0]
        if first is None or not taken or len(taken) > MAX_EARLY:
            return None
        begin, end = asked_part(first, last)
        for other, other_end in taken:
            if other <= begin < other_end:
                return None
            if begin < other:
                end = min(end, other)
        return begin, end

    def _taken(self) -> list[tuple[int, int]]:
        """Return what is asked for; nothing if only the first answer will say what that is."""
        (first, last) = (None, None) if self._first is None else self._first.asked[0]
        if first is None:
            return []
        spans = [each.span for each in self._readers if each.span is not None]
        return [asked_part(first, last, PIECE_BYTES), *spans]
