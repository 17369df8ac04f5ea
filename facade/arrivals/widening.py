"""How many streams bring one blob, and how many may: decided as they come (`stream_growth`).

Several do while somebody reads the whole of it, if the registry's answers say that they are about
the same bytes, and as long as it has streams to spare. After one that was refused or broke the
blob comes in one stream for a while. Any doubt ends it: after an answer that did not fit, the blob
comes in one stream to its end, and so do the registry's other blobs for a while.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from attrs import define, field

from facade.arrivals.blob_streams import BlobStream
from facade.arrivals.further_segments import segment_bytes
from facade.arrivals.slow_streams import SlowStreams
from facade.arrivals.span_download import NoRangesError
from facade.arrivals.stream_growth import GrowthTerms, Seen, StreamGrowth
from facade.loop.outcome import Failed
from facade.metrics.upstream_outcomes import SegmentOutcome
from facade.registries.spare_streams import SpareClaim
from facade.registries.upstream import Upstream
from shared.upstream.errors import UnexpectedAnswerError

QUEUED_BYTES: Final = 128 * 1024  # an idle loop reads less at once, however fast they come


@define(eq=False)
class Widening:
    """The streams of one blob, as far as they are counted and compared. For one event loop."""

    _upstream: Upstream
    _terms: GrowthTerms
    _wake: Callable[[], None]
    _clock: Callable[[], float] = time.monotonic  # seconds
    _growth: StreamGrowth = field(init=False)
    _claim: SpareClaim = field(init=False)
    _slow: SlowStreams = field(factory=SlowStreams, init=False)
    _average: float = field(default=0.0, init=False)  # bytes a second of one, of several
    _come: int = field(default=0, init=False)
    _waited: float = field(default=0.0, init=False)  # seconds, of all streams
    _slack: float = field(default=0.0, init=False)
    _looked: tuple[float, float] = field(init=False)  # seconds waited, and busy, until then
    _come_before: int = field(init=False)  # bytes of the registry

    def __attrs_post_init__(self) -> None:
        """Begin with one."""
        spare = self._upstream.spare_streams
        self._growth = StreamGrowth(self._terms)
        self._claim = spare.claim(self._upstream.device, self._wake)
        self._come_before, self._looked = spare.come, (0.0, time.thread_time())

    @property
    def wanted(self) -> int:
        """How many streams there are to be."""
        return self._growth.wanted

    @property
    def least_segment(self) -> int:
        """Bytes; less is not worth a request."""
        return self._terms.least_segment

    def segment_bytes(self, left: int) -> int:
        """Return how much one more stream brings at once. `left`: bytes that have not come."""
        return segment_bytes(left, self.wanted, self._growth.rate, self._terms.least_segment)

    def at_once(self, left: int) -> int | None:
        """Return how much of the whole one stream brings at once; None: all of it."""
        return self.segment_bytes(left) if self.wanted > 1 else None

    def note(self, count: int, waited: float) -> None:
        """Note that a stream has brought so many bytes, after so many seconds.

        If many came at once, they had been in the socket while this process did something else, or
        had no processor: nobody has waited for the registry then.
        """
        self._come += count
        if count < QUEUED_BYTES:
            self._waited += waited

    def look(self, streams: Sequence[BlobStream], left: int) -> None:
        """Decide how many there are to be. `left`: bytes that have not come."""
        spare = self._upstream.spare_streams
        if spare.are_doubted:
            self.narrow()
        begun = sum(each.download.has_begun for each in streams)
        self._note_slack(begun)
        others = spare.come - self._come_before - self._come
        is_limited, waits = self._upstream.is_held_back, self._claim.is_waiting
        now = self._clock()
        self._growth.look(
            Seen(now, self._come, others, left, begun, self._slack, is_limited, waits)
        )
        if len(streams) >= self.wanted:
            self.stop_waiting()

    def _note_slack(self, begun: int) -> None:
        """Note for how long a stream has waited for the registry while this loop was idle."""
        waited, busy = self._waited, time.thread_time()
        waited_before, busy_before = self._looked
        self._slack += (waited - waited_before) / max(1, begun) - (busy - busy_before)
        self._looked = waited, busy

    def slowest(self, streams: Iterable[BlobStream], *, has_ranges: bool) -> BlobStream | None:
        """Return a stream to leave, because it keeps the others waiting.

        None where the registry gives no ranges: all would begin again, from the first byte.
        """
        running = [each for each in streams if not each.is_left] if has_ranges else []
        compared = {each.download: each for each in self._compared(running)}
        slow = self._slow.slowest(self._clock(), compared, self._average)
        if not self._slow.may_leave:
            self.narrow()
        return next((each for each in compared.values() if each.download is slow), None)

    def _compared(self, running: Sequence[BlobStream]) -> Sequence[BlobStream]:
        """Return those that may be left: also the last of several, and then only further ones.

        One stream alone would not have asked for what they bring; so nobody waits for one for long.
        Where one was left before, the next answer may be as slow, whichever stream asks for it.
        """
        if not self._slow.may_leave:
            return []
        if self.wanted <= 1 and not self._slow.left:
            return [each for each in running if each.is_further]
        if len(running) > 1 and self._growth.rate:  # what none brings is no measure
            self._average = self._growth.rate
        return running

    def take_place(self) -> bool:
        """Take a place of the registry's spare streams; False if there is none now."""
        return self._claim.take()

    def stop_waiting(self) -> None:
        """Want no more places than are taken."""
        self._claim.stop_waiting()

    def note_ended(self, ended: Iterable[tuple[BlobStream, Failed | None]]) -> None:
        """Give back places of streams that have ended, and count how they did."""
        for stream, failed in ended:
            if stream.has_place:
                self._claim.give_back()
            if stream.is_further:
                self._upstream.count_segment(_outcome(stream, failed))

    def end(self, streams: Iterable[BlobStream]) -> None:
        """Give back everything, because the blob comes no more."""
        self.note_ended((each, None) for each in streams)
        self.narrow()
        self._slow = SlowStreams()  # which knows streams, which know who began them

    def rest(self) -> None:
        """Go on in one stream for a while."""
        self._growth.rest(self._clock())
        self.stop_waiting()

    def narrow(self) -> None:
        """Go on in one stream to the end."""
        self._growth.narrow()
        self.stop_waiting()

    def doubt(self) -> None:
        """Go on in one stream, because an answer did not fit; for a while all blobs do."""
        self._upstream.spare_streams.doubt()
        self.narrow()


def _outcome(stream: BlobStream, failed: Failed | None) -> SegmentOutcome:
    if stream.is_left:
        return SegmentOutcome.SLOW
    if failed is not None:
        is_other = failed.is_a(NoRangesError) or failed.is_a(UnexpectedAnswerError)
        return SegmentOutcome.OTHER_ANSWER if is_other else SegmentOutcome.FAILED
    has_come = stream.download.reached >= stream.download.end and stream.cuts is None
    return SegmentOutcome.COME if has_come else SegmentOutcome.NOT_NEEDED
