"""What of an arriving blob is fetched next. Pure.

What a device waits for goes first, the longest wait before all others. What is being fetched
already, and comes soon, is not fetched again; what would come late is taken out of it. The rest
follows from the beginning, in one stream, as long as somebody wants all of it.

All spans begin at a checked piece, and end at one or with the blob.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

from attrs import evolve, frozen

from facade.arrivals.want import Want
from facade.registries.spender import NOBODY, Spender
from facade.values.coverage import Coverage

ALIGNED_BYTES: Final = 32 * 1024  # what has a checksum of its own
NEAR_BYTES: Final = 256 * 1024  # ahead of a stream: it comes sooner than another answer begins
READ_AHEAD_BYTES: Final = 512 * 1024  # whoever has less before him is fetched for before he waits
NOT_YET: Final = 2**62  # behind all who wait
# At once for one blob. Browsers and containerd (`max_concurrent_downloads`) stay below it.
MAX_STREAMS: Final = 16
MANY_STREAMS: Final = 8
# What one stream fetches for a range before others have their turn: much if there are few.
SEGMENT_BYTES: Final = 8 * 1024 * 1024
# If there are many, what comes in so long a time is shared by all who read. Each segment is a
# request, which takes a registry milliseconds (docs/decisions/arrivals.md).
ROUND_SECONDS: Final = 1.0
LEAST_OF_MANY_BYTES: Final = 512 * 1024


class Fetched(Protocol):
    """A span that is being fetched. Its end may be cut."""

    @property
    def at(self) -> int:
        """Bytes before it have come, and may be read."""

    @property
    def reached(self) -> int:
        """Bytes before it have come; some of them are still being written."""

    @property
    def end(self) -> int:
        """The offset behind its last byte."""


@frozen
class Segment:
    """What is to be fetched, who has to leave it, and who pays for it."""

    first: int
    end: int
    cut: Fetched | None = None  # ends at `first` now
    payer: Spender = NOBODY


def is_near(wanted: int, streams: Iterable[Fetched]) -> bool:
    """Tell whether a byte is being fetched, and will come soon."""
    return any(
        each.at <= wanted < each.end and wanted - each.reached <= NEAR_BYTES for each in streams
    )


def next_segment(
    length: int,
    come: Coverage,
    streams: Sequence[Fetched],
    wants: Sequence[Want],
    at_once: int | None = None,
    rate: float = 0.0,
) -> Segment | None:
    """Return what to fetch now; None if all that is wanted has come or is being fetched.

    `at_once`: how much one stream brings of the whole before others have their turn; None: all.
    `rate`: bytes a second that all streams bring; 0: nobody knows yet.
    """
    at_once = length if at_once is None else at_once
    of_many = _turn_bytes(rate, wants) if len(streams) >= MANY_STREAMS else None
    for come_to, wanted_end, want in _hungry(length, come, wants):
        if len(streams) >= MAX_STREAMS:
            return None
        most = of_many or (at_once if _is_sequential(want, length) else SEGMENT_BYTES)
        segment = _segment_of(come_to, wanted_end, most, length, come, streams)
        if segment is not None:
            return evolve(segment, payer=want.payer)
    if streams or (rest := _rest(length, come, at_once)) is None:
        return None
    needs_all = next((want for want in wants if want.needs_all), None)
    return None if needs_all is None else evolve(rest, payer=needs_all.payer)


def _hungry(length: int, come: Coverage, wants: Sequence[Want]) -> Iterator[tuple[int, int, Want]]:
    """Yield where what has come for a reader ends, where what it wants ends, and what it is.

    The longest wait goes first. Of a fleet that waits for the same bytes one is given.
    """
    hungry = dict[tuple[int, int], tuple[int, Want]]()
    for want in wants:
        waits_since, come_to = want.waits_since, come.run_end(want.at)
        if waits_since is None:
            if come_to - want.at >= READ_AHEAD_BYTES:
                continue
            waits_since = NOT_YET
        wanted_end = want.wanted_end
        place = come_to, length if wanted_end is None else wanted_end
        known = hungry.get(place)
        if known is None or waits_since < known[0]:
            hungry[place] = waits_since, want
    for place, (_, want) in sorted(hungry.items(), key=lambda each: each[1][0]):
        yield *place, want


def _turn_bytes(rate: float, wants: Sequence[Want]) -> int:
    """Return how much one of many streams fetches for a range, in whole pieces."""
    readers = len({want.first for want in wants})  # who read the same bytes count as one
    share = int(rate * ROUND_SECONDS) // max(1, readers)
    most = min(max(share, LEAST_OF_MANY_BYTES), SEGMENT_BYTES)
    return most - most % ALIGNED_BYTES


def _is_sequential(want: Want, length: int) -> bool:
    return want.is_all and not want.is_open and want.first == 0 and want.end == length


def _segment_of(
    come_to: int,
    wanted_end: int,
    most: int,
    length: int,
    come: Coverage,
    streams: Sequence[Fetched],
) -> Segment | None:
    first = come_to - come_to % ALIGNED_BYTES
    if come_to >= wanted_end or is_near(first, streams):
        return None
    covering = next((each for each in streams if each.at <= first < each.end), None)
    end = min(aligned_end(wanted_end, length), first + most, length)
    return _free(first, end, length, come, streams, covering)


def _rest(length: int, come: Coverage, at_once: int) -> Segment | None:
    for first, end in come.gaps(0, length):
        return Segment(first, min(end, first + at_once))
    return None


def _free(
    first: int,
    end: int,
    length: int,
    come: Coverage,
    streams: Sequence[Fetched],
    covering: Fetched | None,
) -> Segment | None:
    """Return a span up to the next one that has come or is being fetched."""
    end = min(end, come.next_first(first, length))
    for each in streams:
        if each is not covering and each.at <= first < each.end:
            return None
        if each is not covering and first < each.at:
            end = min(end, each.at)
    return Segment(first, end, covering) if first < end else None


def aligned_end(offset: int, length: int) -> int:
    """Return where the checked piece ends that has the byte before an offset."""
    return min(length, offset + -offset % ALIGNED_BYTES)
