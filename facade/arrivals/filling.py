"""Fills an arriving blob whose length is known, in the order in which it is waited for.

Streams bring segments (`gaps` says which), each from one answer of the registry after the other.
Beside them the blob is hashed, from its first byte to the last as soon as that has come: the hash
is of what the file has, and so of what readers are given.

While somebody reads the whole, further streams bring segments of it, as long as that pays
(`widening`). One of them that is refused, gets an answer that does not fit the others, or is far
slower, is given up, and what it had not brought comes in another way. If one of several fails that
a range waits for, there is one at a time for a while.

If the registry gives no ranges, one stream brings the whole, from the beginning. What has come
before is compared then, and not written again.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from attrs import define, field

from facade.arrivals.answer_series import AnswerSeries, Asks
from facade.arrivals.arrival import Progress
from facade.arrivals.blob_streams import BlobStream, BlobStreams, WriteSegment
from facade.arrivals.coming_rate import ComingRate
from facade.arrivals.doubted_length import DoubtedLength
from facade.arrivals.early_readers import EarlyReader
from facade.arrivals.further_segments import further_segment
from facade.arrivals.gaps import MAX_STREAMS, Segment, next_segment
from facade.arrivals.gather_budget import GatherBudget
from facade.arrivals.hash_along import HashAlong
from facade.arrivals.span_download import NoRangesError, SpanDownload
from facade.arrivals.stream_growth import GrowthTerms, Rest
from facade.arrivals.validator import Validator
from facade.arrivals.verified_pieces import PieceVerifier
from facade.arrivals.want import Ends, Want
from facade.arrivals.widening import Widening
from facade.loop.outcome import Failed, outcome_of
from facade.loop.thread_work import finish_in_thread, until_done
from facade.registries.spender import spending
from facade.registries.upstream import Upstream
from facade.store.arriving_file import RottenArrivalError
from facade.store.ingest_file import OwnedIngest
from facade.store.wanted_spans import ToldWants
from shared.oci import RepositoryName
from shared.stopping import is_set_within
from shared.structured_log import get_logger
from shared.upstream.errors import UnexpectedAnswerError, UpstreamError

# Readers in other processes are not heard, so they are looked for.
LOOK_SECONDS: Final = 0.05

_log = get_logger("facade.filling")


@define(eq=False)
class Filling:
    """The streams of one arriving blob, and its hash. For one event loop."""

    _upstream: Upstream
    _repository: RepositoryName
    _verifier: PieceVerifier
    _ingest: OwnedIngest
    _progress: Progress
    _told: ToldWants
    _write: WriteSegment
    _written: Callable[[], None]  # told after each write and each stream, on the loop
    _budget: GatherBudget
    _length: int
    _growth: GrowthTerms = field(factory=GrowthTerms)
    _hash: HashAlong = field(init=False)
    _widening: Widening = field(init=False)
    _rate: ComingRate = field(factory=ComingRate, init=False)
    _streams: BlobStreams = field(init=False)
    _validator: Validator | None = field(default=None, init=False)  # of the first answer
    _one_at_a_time: Rest = field(init=False)  # after one of several failed

    def __attrs_post_init__(self) -> None:
        """Begin with no stream."""
        self._hash = HashAlong(self._verifier, self._progress, self._length)
        self._one_at_a_time = Rest(self._growth.rest_seconds)
        self._widening = Widening(self._upstream, self._growth, self._progress.hungry.set)
        self._streams = BlobStreams(
            self._ingest,
            self._progress,
            self._write,
            self._written,
            self._budget,
            self._length,
            self._hash,
            self._widening.note,
        )

    async def fill(
        self,
        first: SpanDownload | None,
        *,
        has_ranges: bool,
        doubted: DoubtedLength | None = None,
        early: Sequence[EarlyReader] = (),
    ) -> None:
        """Return when the whole has come and was hashed. `first`: has begun with an answer.

        `doubted`: its length, if only ranges have told that. `early`: for whom it asks already.
        Raises what keeps the rest from coming, `WrongBytesError` and `OSError`.
        """
        if not has_ranges:
            self._streams.do_without_ranges()
        hashing = asyncio.create_task(outcome_of(self._hash.to_the_end))
        hashing.add_done_callback(lambda _: self._progress.hungry.set())
        try:
            if first is not None:
                self._validator = first.answers.validator
                self._streams.start(BlobStream(first))
            for each in early:
                self._start_early(each)
            while not hashing.done():
                self._require_readable()
                self._note_ended()
                self._leave_slow()
                self._begin_streams()
                if doubted is not None:
                    waits = bool(self._streams.running)
                    doubted.look(self._progress.come.count, is_waited_for=waits)
                await is_set_within(self._progress.hungry, LOOK_SECONDS)
                self._progress.hungry.clear()
            if isinstance(outcome := hashing.result(), Failed):
                raise outcome.own()
            if self._progress.just_come is not None:
                await finish_in_thread(self._progress.require_as_shown)
        finally:
            hashing.cancel()
            self._widening.end(await self._streams.end())
            await until_done(hashing)

    def _start_early(self, early: EarlyReader) -> None:
        """Bring what is asked for already, as far as that is a part of the blob."""
        if (part := early.part(self._length)) is not None:
            with spending(early.payer):
                download = SpanDownload(self._length, *part, self._answers(), early=early)
                self._streams.start(BlobStream(download))

    def _answers(self, asks: Asks = Asks.SPAN) -> AnswerSeries:
        return AnswerSeries(self._upstream, self._repository, self._verifier.digest, asks)

    def _begin_streams(self) -> None:
        """Begin to fetch what is wanted now."""
        if not self._streams.has_ranges or self._progress.come.count >= self._length:
            self._hash.need()
        if not self._streams.has_ranges:
            self._widening.narrow()
            self._go_on_whole()
            return
        now = time.monotonic()
        rate = self._rate.look(now, self._progress.come.count)
        is_one_at_a_time = self._one_at_a_time.lasts(now)
        most = 1 if is_one_at_a_time else MAX_STREAMS
        wants = list(self._wants())
        whole = next((want for want in wants if want.needs_all), None)
        if whole is None:
            self._streams.leave_unwanted(wants)
        else:
            self._hash.need()
        while len(self._streams.running) < most:
            segment = next_segment(
                self._length,
                self._progress.come,
                self._progress.streams,
                wants,
                self._widening.at_once(self._left),
                rate,
            )
            if segment is None or not self._streams.cut(segment):
                break
            with spending(segment.payer):
                first, end = segment.first, segment.end
                download = SpanDownload(self._length, first, end, self._answers())
                self._streams.start(BlobStream(download))
        if whole is None or self._progress.is_left or is_one_at_a_time:
            self._widening.stop_waiting()
            return
        with spending(whole.payer):
            self._widen()

    def _widen(self) -> None:
        """Begin further streams for the whole, as many as pay."""
        running = self._streams.running
        if self._validator is None and running:
            self._validator = running[0].download.answers.validator
        if self._validator is None or not self._validator.is_strong:
            return
        come, streams = self._progress.come, self._progress.streams
        self._widening.look(running, self._left)
        while 0 < len(running) < self._widening.wanted:
            segment = further_segment(
                self._length,
                come,
                streams,
                self._widening.segment_bytes(self._left),
                self._widening.least_segment,
            )
            if segment is None or self._streams.is_being_cut(segment.cut):
                self._widening.stop_waiting()
                return
            needs_place = any(not each.has_place for each in running)
            if needs_place and not self._widening.take_place():
                return
            self._start_further(segment, has_place=needs_place)

    @property
    def _left(self) -> int:
        """How many bytes have not come."""
        return self._length - self._progress.come.count

    def _start_further(self, segment: Segment, *, has_place: bool) -> None:
        first, end, beside = segment.first, segment.end, self._validator
        download = SpanDownload(self._length, first, end, self._answers(), beside=beside)
        running = (each.download for each in self._streams.running)
        cuts = next((each for each in running if each is segment.cut), None)
        self._streams.start(BlobStream(download, is_further=True, has_place=has_place, cuts=cuts))

    def _leave_slow(self) -> None:
        """Leave a stream that keeps the others waiting. What it had not brought is fetched anew."""
        slow = self._widening.slowest(self._streams.running, has_ranges=self._streams.has_ranges)
        if slow is not None:
            _log.warning(
                "a stream is far slower than the others, it is left",
                digest=self._verifier.digest,
                bytes=slow.download.reached,
            )
            slow.leave()

    def _go_on_whole(self) -> None:
        """Have one stream bring all the rest."""
        if not self._streams.running and self._progress.come.count < self._length:
            whole = SpanDownload(self._length, 0, self._length, self._answers(Asks.REST))
            self._streams.start(BlobStream(whole))
        elif len(self._streams.running) == 1 and self._streams.running[0].download.has_the_rest:
            self._streams.running[0].download.bring_the_rest()

    def _wants(self) -> Iterator[Want]:
        """Yield what is wanted: here, in other processes, and by those who left."""
        yield from self._progress.wants
        if self._told.is_all:
            yield Want.whole(self._length)
        for first, end in self._told.spans():
            if first < self._length:
                last = min(end, self._length)
                yield Want(first, last, Ends.WITH_ITS_BYTES, is_all=False, waits_since=0)
        if self._progress.is_left:
            if self._progress.is_asked_whole:
                yield Want.whole(self._length)
            for first, end in self._progress.asked:
                for gap, gap_end in self._progress.come.gaps(first, end):
                    yield Want(gap, gap_end, Ends.WITH_ITS_BYTES, is_all=False)

    def _require_readable(self) -> None:
        """Give the file up if a piece of it is not what came: each reader would meet it again."""
        if self._progress.unreadable is not None:
            raise RottenArrivalError(
                "a reader met what is not what came"
            ) from self._progress.unreadable

    def _note_ended(self) -> None:
        """Take note of how streams ended; raise what no other stream makes up for."""
        ended = self._streams.take_ended()
        self._widening.note_ended(ended)
        if ended:  # who waits for what one of them would write waits in vain
            asyncio.get_running_loop().call_soon(self._written)
        for stream, failed in ended:
            if failed is not None and not self._makes_up_for(stream, failed):
                raise failed.own()

    def _makes_up_for(self, stream: BlobStream, failed: Failed) -> bool:
        """Go on in another way after a stream has failed; False if there is none."""
        if stream.is_further:
            return self._does_without(stream.download, failed)
        download = stream.download
        is_refusal = failed.is_a(NoRangesError) and not download.is_whole
        if is_refusal or (failed.is_a(UnexpectedAnswerError) and self._streams.running):
            self._streams.do_without_ranges()
            self._widening.narrow()
        elif failed.is_a(UpstreamError) and self._streams.running:
            self._one_at_a_time.begin(time.monotonic())
            self._widening.rest()
        else:
            return False
        self._tell_of(download, failed)
        return True

    def _does_without(self, download: SpanDownload, failed: Failed) -> bool:
        """Go on in one stream after a further one has failed; False if bytes were wrong, say."""
        if failed.is_a(NoRangesError) or failed.is_a(UnexpectedAnswerError):
            self._widening.doubt()
        elif failed.is_a(UpstreamError):
            self._widening.rest()
        else:
            return False
        self._tell_of(download, failed)
        return True

    def _tell_of(self, download: SpanDownload, failed: Failed) -> None:
        _log.warning(
            "a stream failed, the blob comes in one",
            digest=self._verifier.digest,
            bytes=download.reached,
            reason=failed.name,
        )
