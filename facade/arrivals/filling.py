"""Fills an arriving blob whose length is known, in the order in which it is waited for.

Streams bring segments (`gaps` says which), each from one answer of the registry after the other.
Beside them the blob is hashed, from its first byte to the last as soon as that has come: the hash
is of what the file has, and so of what readers are given.

If the registry gives no ranges, or one stream of several fails, one stream brings the whole, from
the beginning. What has come before is compared then, and not written again.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Final

from attrs import define, field

from facade.arrivals.arrival import Progress
from facade.arrivals.gaps import ALIGNED_BYTES, MAX_STREAMS, Segment, aligned_end, next_segment
from facade.arrivals.gather_budget import GatherBudget
from facade.arrivals.ingest_writer import IngestWriter
from facade.arrivals.span_download import NoRangesError, SpanDownload
from facade.arrivals.verified_pieces import PieceVerifier
from facade.arrivals.want import Ends, Want
from facade.loop.outcome import Failed, outcome_of
from facade.loop.thread_work import finish_in_thread, until_done
from facade.registries.upstream import Upstream
from facade.store.arriving_file import RottenArrivalError
from facade.store.ingest_file import REHASH_BYTES, OwnedIngest
from facade.store.segment_writer import SegmentWriter
from facade.store.wanted_spans import ToldWants
from shared.oci import RepositoryName
from shared.stopping import is_set_within
from shared.structured_log import get_logger
from shared.upstream.errors import UnexpectedAnswerError, UpstreamError

# Readers in other processes are not heard, so they are looked for.
LOOK_SECONDS: Final = 0.05
HASHED_AT_ONCE: Final = 16 * REHASH_BYTES  # as long as a revocation may wait
MAX_SKIPPED_BYTES: Final = 256 * 1024  # that come a second time, so that an answer may go on

# Has a thread write so many bytes, within the quota. Raises `StoreGaveUpError` and `OSError`.
WriteSegment = Callable[[SegmentWriter, Callable[[], None], int], Awaitable[None]]
_log = get_logger("facade.filling")


@define(eq=False)
class _Stream:
    """A span that comes, and the task that brings it."""

    download: SpanDownload
    task: asyncio.Task[Failed | None] | None = None


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
    _written: Callable[[], None]  # told after each write, on the loop
    _budget: GatherBudget
    _length: int
    _streams: list[_Stream] = field(factory=list, init=False)
    _has_ranges: bool = field(default=True, init=False)
    _one_at_a_time: bool = field(default=False, init=False)
    _hash_lock: threading.Lock = field(factory=threading.Lock, init=False)
    _has_come: asyncio.Event = field(factory=asyncio.Event, init=False)

    async def fill(self, first: SpanDownload | None, *, has_ranges: bool) -> None:
        """Return when the whole has come and was hashed. `first`: has begun with an answer.

        Raises what keeps the rest from coming, `WrongBytesError` and `OSError`.
        """
        self._has_ranges = has_ranges
        hashing = asyncio.create_task(outcome_of(self._hash_along()))
        hashing.add_done_callback(lambda _: self._progress.hungry.set())
        try:
            if first is not None:
                first.longer, first.may_be_whole = self._longer, self._is_alone
                self._start(first)
            while not hashing.done():
                self._require_readable()
                self._reap()
                self._begin_streams()
                await is_set_within(self._progress.hungry, LOOK_SECONDS)
                self._progress.hungry.clear()
            if isinstance(outcome := hashing.result(), Failed):
                raise outcome.own()
        finally:
            await self._end(hashing)

    def span(self, segment: Segment) -> SpanDownload:
        """Return the download of a segment, which has not asked yet."""
        return self._download(segment.first, segment.end)

    def _download(self, first: int, end: int, *, is_whole: bool = False) -> SpanDownload:
        return SpanDownload(
            self._length,
            first,
            end,
            self._upstream,
            self._repository,
            self._verifier.digest,
            is_whole,
            longer=self._longer,
            may_be_whole=self._is_alone,
        )

    def _is_alone(self) -> bool:
        """Tell whether one stream may bring the whole, and have it bring all the rest."""
        if len(self._streams) > 1:
            return False
        self._has_ranges = False
        return True

    def _begin_streams(self) -> None:
        """Begin to fetch what is wanted now."""
        if not self._has_ranges:
            self._go_on_whole()
            return
        most = 1 if self._one_at_a_time else MAX_STREAMS
        wants = list(self._wants())
        self._leave_unwanted(wants)
        while len(self._streams) < most:
            segment = next_segment(self._length, self._progress.come, self._progress.streams, wants)
            if segment is None:
                return
            if segment.cut is not None and not self._cut(segment):
                return
            self._start(self.span(segment))

    def _go_on_whole(self) -> None:
        """Have one stream bring all the rest."""
        if not self._streams and self._progress.come.count < self._length:
            self._start(self._download(0, self._length, is_whole=True))
        elif len(self._streams) == 1 and self._streams[0].download.has_the_rest:
            self._streams[0].download.end = self._length

    def _cut(self, segment: Segment) -> bool:
        """Have a stream end where another one begins."""
        for stream in self._streams:
            if stream.download is segment.cut:
                stream.download.end = segment.first
                return stream.download.reached < segment.first
        return False

    def _wants(self) -> Iterator[Want]:
        """Yield what is wanted: here, in other processes, and by those who left."""
        yield from self._progress.wants
        if self._told.is_all:
            yield Want.whole(self._length)
        for first, end in self._told.spans():
            if first < self._length:
                want = Want(first, min(end, self._length), Ends.WITH_ITS_BYTES, is_all=False)
                want.waits_since = 0
                yield want
        if self._progress.is_left:
            if self._progress.is_asked_whole:
                yield Want.whole(self._length)
            for first, end in self._progress.asked:
                for gap, gap_end in self._progress.come.gaps(first, end):
                    yield Want(gap, gap_end, Ends.WITH_ITS_BYTES, is_all=False)

    def _leave_unwanted(self, wants: Sequence[Want]) -> None:
        """Let go of what nobody waits for any more: its bytes would be bought in vain."""
        if not wants or any(want.needs_all for want in wants):
            return
        for stream in self._streams:
            span = stream.download
            ends = [
                want.wanted_end or self._length
                for want in wants
                if want.at < span.end and (want.wanted_end or self._length) > span.at
            ]
            wanted_end = max(ends, default=span.reached)
            least = aligned_end(max(wanted_end, span.reached), self._length)
            if span.end - least > MAX_SKIPPED_BYTES:  # less costs less than another connection
                span.end = least

    def _longer(self, end: int) -> int | None:
        """Return to where a stream may go on whose end had been cut; None if others bring that."""
        come_to = self._progress.come.run_end(end)
        is_short = come_to - end <= MAX_SKIPPED_BYTES
        wants_all = any(want.needs_all for want in self._progress.wants)
        is_brought = any(each.at <= come_to < each.end for each in self._progress.streams)
        if not is_short or not wants_all or is_brought:
            return None
        following = self._progress.come.next_first(come_to, self._length)
        begins = [
            each.at for each in self._progress.streams if come_to <= each.at and come_to < each.end
        ]
        return min([following, *begins])

    def _start(self, download: SpanDownload) -> None:
        stream = _Stream(download)
        self._streams.append(stream)
        self._progress.streams.append(download)
        stream.task = asyncio.create_task(outcome_of(self._bring(download)))
        stream.task.add_done_callback(lambda _: self._progress.hungry.set())

    async def _bring(self, download: SpanDownload) -> None:
        """Write what a stream brings."""
        sink = self._ingest.segment(
            download.reached - download.reached % ALIGNED_BYTES, self._length
        )
        current = [sink]
        writer = IngestWriter(
            lambda chunks: self._append(download, current[0], chunks),
            self._written,
            budget=self._budget,
        )
        try:
            expected = download.reached
            async for chunk in download.chunks():
                if download.reached - len(chunk) != expected:  # the whole has begun again
                    await writer.settle()
                    current[0] = self._ingest.segment(0, self._length)
                expected = download.reached
                await writer.put(chunk)
            await writer.settle()
        finally:
            await writer.stop()
            await download.close()

    async def _append(
        self, download: SpanDownload, sink: SegmentWriter, chunks: list[bytes]
    ) -> None:
        before = sink.checked
        await self._write(sink, partial(self._write_and_hash, sink, chunks), sum(map(len, chunks)))
        download.at = max(download.at, sink.checked)
        self._progress.advance(before, sink.checked)
        self._has_come.set()

    def _write_and_hash(self, sink: SegmentWriter, chunks: list[bytes]) -> None:
        """Write, and hash what was written if all before it was. Blocks."""
        sink.append(chunks)
        taken = self._verifier.taken
        if sink.first <= taken < sink.checked <= taken + REHASH_BYTES:
            self._hash_to(sink.checked)

    def _hash_to(self, end: int) -> None:
        with self._hash_lock:
            while (taken := self._verifier.taken) < end:
                count = min(REHASH_BYTES, end - taken)
                self._verifier.take_verbatim(self._progress.file.read_now(taken, count))

    async def _hash_along(self) -> None:
        """Hash all of it, as far as it has come, to the end. It was right if this returns."""
        while (taken := self._verifier.taken) < self._length:
            self._has_come.clear()
            end = min(self._progress.come.run_end(taken), taken + HASHED_AT_ONCE)
            if end > taken:
                await finish_in_thread(self._hash_to, end)
            else:
                await self._has_come.wait()
        self._verifier.finish()

    def _require_readable(self) -> None:
        """Give the file up if a piece of it is not what came: each reader would meet it again."""
        if self._progress.unreadable is not None:
            raise RottenArrivalError(
                "a reader met what is not what came"
            ) from self._progress.unreadable

    def _reap(self) -> None:
        """Take note of how streams ended; raise what no other stream makes up for."""
        for stream in list(self._streams):
            if stream.task is None or not stream.task.done():
                continue
            self._streams.remove(stream)
            self._progress.streams.remove(stream.download)
            outcome = None if stream.task.cancelled() else stream.task.result()
            if isinstance(outcome, Failed) and not self._makes_up_for(stream.download, outcome):
                raise outcome.own()

    def _makes_up_for(self, download: SpanDownload, failed: Failed) -> bool:
        """Go on in another way after a stream has failed; False if there is none."""
        is_refusal = failed.is_a(NoRangesError) and not download.is_whole
        if is_refusal or (failed.is_a(UnexpectedAnswerError) and self._streams):
            self._do_without_ranges()
        elif failed.is_a(UpstreamError) and self._streams:
            self._one_at_a_time = True
        else:
            return False
        _log.warning(
            "a stream failed, the blob comes in one",
            digest=self._verifier.digest,
            bytes=download.reached,
            reason=failed.name,
        )
        return True

    def _do_without_ranges(self) -> None:
        """Leave every stream but one that has all the rest, if there is one."""
        self._has_ranges = False
        with_rest = next((each for each in self._streams if each.download.has_the_rest), None)
        for stream in self._streams:
            if stream is not with_rest and stream.task is not None:
                stream.task.cancel()

    async def _end(self, hashing: asyncio.Task[Failed | None]) -> None:
        tasks = [hashing, *(stream.task for stream in self._streams if stream.task)]
        for task in tasks:
            task.cancel()
        for task in tasks:
            await until_done(task)
        self._streams.clear()
        self._progress.streams.clear()
