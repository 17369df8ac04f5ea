"""What is fetched next: each byte once, what is waited for first, and nothing that nobody wants.

An oracle watches a registry that gives some pieces at a time to whichever streams there are.
"""

import random
from collections.abc import Iterable

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from facade.arrivals.gaps import (
    ALIGNED_BYTES,
    LEAST_OF_MANY_BYTES,
    MANY_STREAMS,
    MAX_STREAMS,
    NEAR_BYTES,
    SEGMENT_BYTES,
    Segment,
    next_segment,
)
from facade.arrivals.want import MOST_AHEAD_BYTES, Ends, Want
from facade.registries.spender import SpendsNothing, spending
from facade.values.byte_range import Span
from facade.values.coverage import Coverage
from facade.values.piece import PIECE_BYTES

MIB = 1024 * 1024
PIECES = 200
LENGTH = PIECES * ALIGNED_BYTES - 77


@define(eq=False)
class Stream:
    """A span that is being fetched."""

    at: int
    end: int
    reached: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reached = self.at


@define
class Registry:
    """Gives what is fetched, and notes it."""

    rate: float = 0.0  # bytes a second, as whoever fetches has seen
    come: Coverage = field(factory=Coverage)
    streams: list[Stream] = field(factory=list)
    bought: Coverage = field(factory=Coverage)
    bought_bytes: int = 0

    def assign(self, wants: Iterable[Want]) -> list[Segment]:
        """Begin what is to be fetched now."""
        wants, begun = list(wants), list[Segment]()
        while True:
            segment = next_segment(LENGTH, self.come, self.streams, wants, rate=self.rate)
            if segment is None:
                return begun
            if segment.cut is not None:
                assert isinstance(segment.cut, Stream)
                assert segment.cut.reached < segment.first < segment.cut.end
                segment.cut.end = segment.first
            assert segment.first % ALIGNED_BYTES == 0
            assert segment.end % ALIGNED_BYTES == 0 or segment.end == LENGTH
            assert 0 <= segment.first < segment.end <= LENGTH
            for stream in self.streams:
                assert stream.end <= segment.first or segment.end <= stream.at
            assert list(self.come.gaps(segment.first, segment.end)) == [
                (segment.first, segment.end)
            ]
            self.streams.append(Stream(segment.first, segment.end))
            begun.append(segment)

    def give(self, stream: Stream) -> None:
        """Give a stream its next piece."""
        end = min(stream.at + ALIGNED_BYTES, stream.end)
        self.bought_bytes += end - stream.at
        self.bought.add(stream.at, end)
        self.come.add(stream.at, end)
        stream.at = stream.reached = end
        if stream.at >= stream.end:
            self.streams.remove(stream)


@st.composite
def wants(draw: st.DrawFn) -> Want:
    """Whole answers, ranges without an end, and closed ones."""
    first = draw(st.integers(0, LENGTH - 1))
    match draw(st.sampled_from(["whole", "open", "closed", "in step"])):
        case "whole":
            return Want.whole(LENGTH)
        case "open":
            span = Span(first, LENGTH - first, LENGTH, is_open=True)
            return Want.part(span, may_be_unverified=True)
        case "closed":
            count = draw(st.integers(1, LENGTH - first))
            return Want.part(Span(first, count, LENGTH), may_be_unverified=True)
        case _:
            return Want.part(Span(first, 1, LENGTH), may_be_unverified=False)


@given(
    readers=st.lists(wants(), min_size=1, max_size=24),
    seed=st.integers(0, 2**32),
    rate=st.floats(0, 16 * SEGMENT_BYTES),
)
def test_every_reader_gets_its_bytes_and_no_byte_is_bought_twice(
    readers: list[Want], seed: int, rate: float
) -> None:
    """Whatever they want together, whichever stream is quick, and however much one brings."""
    chance, registry = random.Random(seed), Registry(rate)  # noqa: S311 - any order will do
    waiting = 0
    left = list(readers)
    for _ in range(20 * PIECES * len(readers)):
        proven = registry.come.count == LENGTH
        for want in list(left):
            come_to = registry.come.run_end(want.at)
            limit = want.sendable(come_to, registry.come.count, LENGTH)
            if proven:
                limit = want.end or LENGTH
            if limit > want.at:
                want.at, want.waits_since = limit, None
            elif want.waits_since is None:
                want.waits_since = waiting
                waiting += 1
            if want.at >= (want.end or LENGTH):
                left.remove(want)
        if not left:
            break
        registry.assign(left)
        if registry.streams:
            registry.give(chance.choice(registry.streams))
        else:
            assert proven, "somebody waits, and nothing is fetched"
    assert not left
    assert registry.bought_bytes == registry.bought.count
    if all(not want.needs_all for want in readers):
        slack = ALIGNED_BYTES + MOST_AHEAD_BYTES
        wanted = sum((want.end or LENGTH) - want.first + slack for want in readers)
        assert registry.bought_bytes <= wanted


@given(first=st.integers(2 * NEAR_BYTES, LENGTH - 1), count=st.integers(1, LENGTH))
def test_what_is_waited_for_far_ahead_is_taken_out_of_what_comes(first: int, count: int) -> None:
    """A stream that brings the whole goes on to there, and does not bring it again."""
    registry = Registry(streams=[Stream(0, LENGTH)])
    want = Want(first, min(LENGTH, first + count), Ends.WITH_ITS_BYTES, is_all=False)
    want.waits_since = 0
    [segment, *_] = registry.assign([Want.whole(LENGTH), want])
    assert segment.first == first - first % ALIGNED_BYTES
    assert registry.streams[0].end == segment.first


def test_who_waits_longest_is_fetched_for_first() -> None:
    """And nobody is fetched for beyond the bound."""
    registry = Registry()
    step = 2 * NEAR_BYTES
    readers = [
        Want(place * step, place * step + 1, Ends.WITH_ITS_BYTES, is_all=False)
        for place in range(12)
    ]
    for place, want in enumerate(readers):
        want.waits_since = 100 - place
    begun = registry.assign(readers)
    assert len(begun) == len(readers) <= MAX_STREAMS
    assert [each.first for each in begun] == [want.first for want in reversed(readers)]


@pytest.mark.parametrize(
    "rate, readers, fetched",
    [
        (0.0, 1, LEAST_OF_MANY_BYTES),  # nobody knows yet
        (1.0, 1, LEAST_OF_MANY_BYTES),
        (64.0 * MIB, 32, 2 * MIB),
        (50.0 * MIB, 16, 3 * MIB + 4 * ALIGNED_BYTES),  # whole pieces
        (50e9, 16, SEGMENT_BYTES),
    ],
)
def test_if_many_streams_come_each_brings_its_readers_share_of_a_second(
    rate: float, readers: int, fetched: int
) -> None:
    """Fewer requests where much comes, and no long wait where little does."""
    length, step = 64 * 1024 * MIB, 1024 * MIB
    others = [Stream(place * step, place * step + MIB) for place in range(1, MANY_STREAMS + 1)]
    firsts = [0, *(place * step for place in range(1, readers))]
    fleet = [
        Want(first, first + 512 * MIB, Ends.WITH_ITS_BYTES, is_all=False)
        for first in firsts
        for _ in range(3)
    ]
    fleet[0].waits_since = 0
    segment = next_segment(length, Coverage(), others, fleet, rate=rate)
    assert segment == Segment(0, fetched, payer=fleet[0].payer)


def test_of_a_fleet_that_waits_for_the_same_the_one_that_waits_longest_pays() -> None:
    """The others have it for nothing, whatever the order in which they are looked at."""
    registry, fleet = Registry(), list[Want]()
    for waits_since in (7, None, 3, 5):
        with spending(SpendsNothing()):
            fleet.append(Want(0, LENGTH, Ends.WITH_ITS_BYTES, is_all=False))
        fleet[-1].waits_since = waits_since
    [segment] = registry.assign(fleet)
    assert segment.payer is fleet[2].payer


def test_two_bytes_do_not_buy_the_blob() -> None:
    """A lazy puller begins each layer so."""
    registry = Registry()
    want = Want(0, 2, Ends.WITH_ITS_BYTES, is_all=False)
    want.waits_since = 0
    [segment] = registry.assign([want])
    assert segment.end <= PIECE_BYTES
