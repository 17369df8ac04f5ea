"""Further streams: each byte is brought once, in order, and all end at about the same time."""

import random

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from facade.arrivals.further_segments import (
    LEAST_SEGMENT_BYTES,
    MOST_SEGMENT_BYTES,
    further_segment,
    segment_bytes,
)
from facade.arrivals.gaps import ALIGNED_BYTES
from facade.values.coverage import Coverage

STEP = 8 * ALIGNED_BYTES
LENGTH = 3000 * ALIGNED_BYTES - 99


@define(eq=False)
class Stream:
    """A span that is being fetched."""

    at: int
    end: int
    reached: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reached = self.at


@given(
    streams=st.integers(2, 16),
    seed=st.integers(0, 2**32),
    least=st.sampled_from([ALIGNED_BYTES, LEAST_SEGMENT_BYTES]),
)
def test_each_byte_is_brought_once(streams: int, seed: int, least: int) -> None:
    """Whichever stream is quick; and none waits while there is enough to do."""
    chance = random.Random(seed)  # noqa: S311 - any order will do
    come, running, bought = Coverage(), [Stream(0, LENGTH)], 0
    while come.count < LENGTH:
        while len(running) < streams:
            size = segment_bytes(LENGTH - come.count, streams, 0, least)
            segment = further_segment(LENGTH, come, running, size, least)
            if segment is None:
                assert all(each.end - each.reached < 2 * least for each in running)
                break
            assert segment.first % ALIGNED_BYTES == 0
            assert segment.end % ALIGNED_BYTES == 0 or segment.end == LENGTH
            assert 0 < segment.end - segment.first <= size
            if segment.cut is not None:
                assert isinstance(segment.cut, Stream)
                assert segment.cut.reached < segment.first < segment.cut.end
                segment.cut.end = segment.first
            for each in running:
                assert each.end <= segment.first or segment.end <= each.at
            assert list(come.gaps(segment.first, segment.end)) == [(segment.first, segment.end)]
            running.append(Stream(segment.first, segment.end))
        stream = chance.choice(running)
        end = min(stream.at + STEP, stream.end)
        bought += end - stream.at
        come.add(stream.at, end)
        stream.at = stream.reached = end
        running = [each for each in running if each.at < each.end]
        if not running and come.count < LENGTH:
            (first, _), *_ = come.gaps(0, LENGTH)
            running.append(Stream(first, come.next_first(first, LENGTH)))
    assert bought == LENGTH


@given(
    left=st.integers(0, 2**40),
    streams=st.integers(1, 16),
    rate=st.floats(0, 1e12),
    least=st.integers(1, LEAST_SEGMENT_BYTES),
)
def test_a_segment_has_bounds(left: int, streams: int, rate: float, least: int) -> None:
    """Those of its reader, and those of a request."""
    size = segment_bytes(left, streams, rate, least)
    assert size % ALIGNED_BYTES == 0
    assert least <= size <= MOST_SEGMENT_BYTES


def test_the_first_gap_comes_first() -> None:
    """So whoever reads the whole finds what follows soon."""
    come, running = Coverage(), [Stream(0, 10 * STEP), Stream(20 * STEP, 30 * STEP)]
    come.add(12 * STEP, 14 * STEP)
    first = further_segment(LENGTH, come, running, 4 * STEP)
    assert first is not None
    assert (first.first, first.end, first.cut) == (10 * STEP, 12 * STEP, None)
    second = further_segment(LENGTH, come, [*running, Stream(first.first, first.end)], 4 * STEP)
    assert second is not None
    assert (second.first, second.end, second.cut) == (14 * STEP, 18 * STEP, None)
