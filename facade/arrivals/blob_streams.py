"""The streams that bring one blob now: each a span of it, written with its checksums as it comes.

A stream that takes over what another one was to bring ends that one only when it has begun itself:
so a registry that refuses it has broken nothing off.

If the registry gives no ranges, one of them brings the whole.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from attrs import define, field

from facade.arrivals.arrival import Progress
from facade.arrivals.gaps import ALIGNED_BYTES, Fetched, Segment, aligned_end
from facade.arrivals.gather_budget import GatherBudget
from facade.arrivals.hash_along import HashAlong
from facade.arrivals.ingest_writer import IngestWriter
from facade.arrivals.span_download import SpanDownload
from facade.arrivals.want import Want
from facade.loop.outcome import Failed, outcome_of
from facade.loop.thread_work import until_done
from facade.store.ingest_file import OwnedIngest
from facade.store.segment_writer import SegmentWriter

MAX_SKIPPED_BYTES: Final = 256 * 1024  # that come a second time, so that an answer may go on

# Has a thread write so many bytes, within the quota. Raises `StoreGaveUpError` and `OSError`.
WriteSegment = Callable[[SegmentWriter, Callable[[], None], int], Awaitable[None]]


@define(eq=False)
class BlobStream:
    """A span that comes, and the task that brings it."""

    download: SpanDownload
    is_further: bool = False  # others bring the blob, and can do without it
    has_place: bool = False  # of the registry's spare streams
    # Ends where this one begins, as soon as this one has begun.
    cuts: SpanDownload | None = None
    task: asyncio.Task[Failed | None] | None = field(default=None, init=False)
    is_left: bool = field(default=False, init=False)  # because it is too slow

    def leave(self) -> None:
        """Let go of it. What has come of it is kept."""
        self.is_left = True
        self.cancel()

    def cancel(self) -> None:
        """Let go of it."""
        if self.task is not None:
            self.task.cancel()


@define(eq=False)
class BlobStreams:
    """Those of one blob. For one event loop."""

    _ingest: OwnedIngest
    _progress: Progress
    _write: WriteSegment
    _written: Callable[[], None]  # told after each write, on the loop
    _budget: GatherBudget
    _length: int
    _hash: HashAlong
    # Told what has come, in bytes, and for how many seconds a stream had waited for it.
    _note: Callable[[int, float], None]
    running: list[BlobStream] = field(factory=list, init=False)
    has_ranges: bool = field(default=True, init=False)  # if not, only the whole can be had

    def start(self, stream: BlobStream) -> None:
        """Begin to bring a span."""
        self.running.append(stream)
        self._progress.begin_stream(stream.download)
        stream.task = asyncio.create_task(outcome_of(partial(self._bring, stream)))
        stream.task.add_done_callback(lambda _: self._progress.hungry.set())

    def cut(self, segment: Segment) -> bool:
        """Have a stream end where a segment begins; False if it has come further."""
        for stream in self.running:
            if segment.cut is not None and stream.download is segment.cut:
                stream.download.cut(segment.first)
                return stream.download.reached < segment.first
        return segment.cut is None

    def is_being_cut(self, download: Fetched | None) -> bool:
        """Tell whether another stream will take over what a stream has before it, once it begins.

        Until then nobody else may: they would bring the same.
        """
        return download is not None and any(each.cuts is download for each in self.running)

    def leave_unwanted(self, wants: Sequence[Want]) -> None:
        """Let go of what nobody waits for any more: its bytes would be bought in vain."""
        if not wants:
            return
        wanted = {(want.at, want.wanted_end or self._length) for want in wants}
        if (shown := self._progress.just_come) is not None:  # somebody has it: it is to be kept
            wanted.add((shown.first, shown.end))
        for stream in self.running:
            span = stream.download
            ends = (end for at, end in wanted if at < span.end and end > span.at)
            wanted_end = max(ends, default=span.reached)
            least = aligned_end(max(wanted_end, span.reached), self._length)
            if span.end - least > MAX_SKIPPED_BYTES:  # less costs less than another connection
                span.cut(least)

    def may_bring_the_whole(self) -> bool:
        """Tell whether one stream may: if it is the only one."""
        if len(self.running) > 1:
            return False
        self.has_ranges = False
        return True

    def do_without_ranges(self) -> None:
        """Leave every stream but one that has all the rest, if there is one."""
        self.has_ranges = False
        with_rest = next((each for each in self.running if each.download.has_the_rest), None)
        for stream in self.running:
            if stream is not with_rest:
                stream.cancel()

    def longer(self, end: int) -> int | None:
        """Return to where a stream may go on whose end had been cut; None if others bring that."""
        progress = self._progress
        come_to = progress.come.run_end(end)
        is_short = come_to - end <= MAX_SKIPPED_BYTES
        wants_all = any(want.needs_all for want in progress.wants)
        is_brought = any(each.at <= come_to < each.end for each in progress.streams)
        if not is_short or not wants_all or is_brought:
            return None
        following = progress.come.next_first(come_to, self._length)
        begins = [each.at for each in progress.streams if come_to <= each.at and come_to < each.end]
        return min([following, *begins])

    def take_ended(self) -> list[tuple[BlobStream, Failed | None]]:
        """Return the streams that have ended since it was asked last, with how they failed."""
        ended = list[tuple[BlobStream, Failed | None]]()
        for stream in list(self.running):
            if stream.task is not None and stream.task.done():
                self._forget(stream)
                failed = None if stream.task.cancelled() else stream.task.result()
                ended.append((stream, failed))
        return ended

    async def end(self) -> list[BlobStream]:
        """Let go of all of them; return them when they have let go of the file."""
        ended = list(self.running)
        for stream in ended:
            stream.cancel()
        for stream in ended:
            if stream.task is not None:
                await until_done(stream.task)
            self._forget(stream)
        return ended

    def _forget(self, stream: BlobStream) -> None:
        self.running.remove(stream)
        self._progress.end_stream(stream.download)

    async def _bring(self, stream: BlobStream) -> None:
        """Write what a stream brings."""
        download, current = stream.download, [self._sink(stream.download.reached)]
        writer = IngestWriter(
            lambda chunks: self._append(download, current[0], chunks),
            self._written,
            budget=self._budget,
        )
        try:
            expected, asked_at = download.reached, time.monotonic()
            async for chunk in download.chunks(self):
                self._note(len(chunk), time.monotonic() - asked_at)
                if not self._takes_over(stream, expected):
                    return
                if download.reached - len(chunk) != expected:  # the whole has begun again
                    await writer.settle()
                    current[0] = self._sink(0)
                expected = download.reached
                self._progress.show(chunk, expected - len(chunk))
                await writer.put(chunk)
                asked_at = time.monotonic()
            await download.close()  # at once: of an answer that goes on, more would come meanwhile
            await writer.settle()
        except asyncio.CancelledError:
            if stream.is_left:
                await writer.settle()
            raise
        finally:
            await writer.stop()
            await download.close()

    def _sink(self, first: int) -> SegmentWriter:
        return self._ingest.segment(first - first % ALIGNED_BYTES, self._length)

    def _takes_over(self, stream: BlobStream, first: int) -> bool:
        """Have the stream before it end where this one has begun.

        False if that one has come as far meanwhile.
        """
        before, stream.cuts = stream.cuts, None
        if before is None:
            return True
        if before.reached > first or self._progress.come.run_end(first) > first:
            return False
        before.cut(first)
        return True

    async def _append(
        self, download: SpanDownload, sink: SegmentWriter, chunks: list[bytes]
    ) -> None:
        before = sink.checked
        await self._write(sink, partial(self._write_and_hash, sink, chunks), sum(map(len, chunks)))
        download.note_written(sink.checked)
        self._progress.advance(before, sink.checked)
        self._progress.note_written(chunks)
        self._hash.note()

    def _write_and_hash(self, sink: SegmentWriter, chunks: list[bytes]) -> None:
        """Write, and hash what was written if all before it was. Blocks."""
        sink.append(chunks)
        self._hash.take_written(sink.first, sink.checked)
