"""Where a further stream begins that brings a blob beside others. Pure.

Segments lie one behind the other, from the first byte that nobody brings yet: so whoever reads the
whole finds what follows soon. They are as long as a stream brings in some seconds, and shorter
towards the end, so that all streams end at about the same time. If others bring everything that is
left, the one that has the most before it gives up what lies behind, at most half.
"""

from collections.abc import Sequence
from typing import Final

from facade.arrivals.gaps import ALIGNED_BYTES, SEGMENT_BYTES, Fetched, Segment
from facade.values.coverage import Coverage

SEGMENT_SECONDS: Final = 2.0  # a request for each: of 32 streams, 16 a second
MOST_SEGMENT_BYTES: Final = 64 * 1024 * 1024  # so long may the reader of the whole wait for one
# A request takes a round trip, in which a fast stream brings as much as this.
LEAST_SEGMENT_BYTES: Final = 2 * 1024 * 1024


def segment_bytes(left: int, streams: int, rate: float, least: int = LEAST_SEGMENT_BYTES) -> int:
    """Return how much one of several streams brings at once, a multiple of `ALIGNED_BYTES`.

    `left`: bytes that have not come. `rate`: bytes a second of one of the streams.
    """
    most = min(max(int(rate * SEGMENT_SECONDS), SEGMENT_BYTES), MOST_SEGMENT_BYTES)
    size = max(least, min(most, left // (2 * max(1, streams))))
    return size + -size % ALIGNED_BYTES


def further_segment(
    length: int,
    come: Coverage,
    streams: Sequence[Fetched],
    size: int,
    least: int = LEAST_SEGMENT_BYTES,
) -> Segment | None:
    """Return what one more stream brings; None if it is not worth a request.

    A stream that is `cut` goes on until the other one has begun: it may be refused.
    """
    return _first_gap(length, come, streams, size) or _taken_over(streams, size, least)


def _first_gap(
    length: int, come: Coverage, streams: Sequence[Fetched], size: int
) -> Segment | None:
    for first, end in come.gaps(0, length):
        at = first
        for each in sorted(streams, key=lambda stream: stream.at):
            if each.end <= at or each.at >= end:
                continue
            if at < each.at:
                return Segment(at, min(each.at, at + size))
            at = max(at, each.end)
        if at < end:
            return Segment(at, min(end, at + size))
    return None


def _taken_over(streams: Sequence[Fetched], size: int, least: int) -> Segment | None:
    """Take from the stream that has the most before it."""
    longest = max(streams, key=lambda each: each.end - each.reached, default=None)
    if longest is None:
        return None
    left = longest.end - longest.reached
    first = longest.reached + min(size, left // 2)
    first += -first % ALIGNED_BYTES
    end = min(longest.end, first + size)
    if left < 2 * least or first >= end:
        return None
    return Segment(first, end, longest)
