"""One download of a blob into the store, for everybody who asks for it in the meantime.

A flight belongs to an access key, a kind, a digest and a repository, but to no device: the one that
started it may leave. It asks the registry as if nobody had the blob. When the registry answers with
what may be the blob, the flight ends if the connection has already brought it through another
repository, or is bringing it: its readers read that. One repository never learns what the registry
answered to another, or when.

When the last reader has left, it goes on for a grace period if two devices wanted it, or if one had
waited for much of it. It goes no further than they had asked for; for a single device, no further
than twice what had come. What has come stays in either case.
"""

import asyncio
import errno
import math
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import islice
from typing import Final

from attrs import define, field

from facade.arrivals.arrival import ArrivalEndedError, Progress, StoreGaveUpError
from facade.arrivals.arrival_state import ArrivalMachine, ArrivalState
from facade.arrivals.claim_watch import ClaimWatch, WatchTimes
from facade.arrivals.claimed_room import ClaimedRoom
from facade.arrivals.doubted_length import DoubtedLength
from facade.arrivals.download import Download
from facade.arrivals.early_readers import EarlyReader, EarlyReaders
from facade.arrivals.filling import Filling
from facade.arrivals.first_answer import (
    HASHED_WHILE_OPEN_BYTES,
    Answer,
    first_answer,
    resumed_answer,
    resumed_in_order,
)
from facade.arrivals.gather_budget import GatherBudget
from facade.arrivals.grace import GRACE_DEVICES, Grace
from facade.arrivals.ingest_writer import IngestWriter
from facade.arrivals.marked_ranges import MarkedRanges
from facade.arrivals.stream_growth import GrowthTerms
from facade.arrivals.taken_up import NothingThere, TakenUp
from facade.arrivals.verified_pieces import PieceVerifier
from facade.errors import PullError
from facade.loop.outcome import Failed, outcome_of
from facade.loop.thread_work import (
    close_in_thread,
    finish,
    finish_in_thread,
    in_store_thread,
    until_done,
)
from facade.registries.upstream import Upstream
from facade.registries.upstreams import Upstreams
from facade.rights.right import FlightKey, Right
from facade.rights.rights import Rights
from facade.store.arriving_file import ArrivingFile
from facade.store.blob_store import Asker, BlobStore, NoRoomError
from facade.store.ingest_file import OwnedIngest
from facade.store.segment_writer import SegmentWriter
from facade.store.wanted_spans import ToldWants
from facade.values.byte_range import ByteRanges
from facade.values.piece import WrongBytesError
from shared.approved_connection import ApprovedConnection
from shared.failures import without_frames
from shared.oci import OCTET_STREAM, RepositoryName
from shared.structured_log import get_logger
from shared.supervised import tell_of_failure
from shared.upstream.errors import UnexpectedAnswerError, UpstreamError

REHASHED_AT_ONCE: Final = 64  # times `REHASH_BYTES`: as long as a revocation may wait
ELSEWHERE_SECONDS: Final = 0.5  # until it is looked again whether another process reads it
DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
RELIEF_BYTES: Final = 64 * 1024 * 1024  # evicted in addition, so that not each write has to


class NothingArrivesError(PullError):
    """A download has just ended, did not begin in time, or is not needed. Look again."""


class ArrivesElsewhereError(NothingArrivesError):
    """The registry would give it, and it is arriving already, through another repository."""

    def __init__(self, right: Right) -> None:
        """Say through which."""
        super().__init__(right)
        self.right = right


class MayBeStoredError(PullError):
    """The connection has brought it through another repository. It may be stored still."""


_NOTHING_TO_KEEP: Final = (
    WrongBytesError,
    UnexpectedAnswerError,
    NoRoomError,
    NothingArrivesError,
    StoreGaveUpError,
)
# Errors that end a flight, and that its readers get as they are.
_ENDS: Final = (UpstreamError, PullError, NoRoomError)
_log = get_logger("facade.flight")


def _future() -> asyncio.Future[Progress | Failed]:
    return asyncio.get_running_loop().create_future()


@define(eq=False)
class Flight:
    """A download under way."""

    right: Right
    _connection: ApprovedConnection
    _folder: TakenUp | NothingThere
    _store: BlobStore
    _rights: Rights
    _upstreams: Upstreams
    _device: str  # that began it; empty: nobody in particular
    _ended: Callable[["Flight"], None]
    # Through which other repository its blob arrives: in this process, and in another one.
    _arrives_here: Callable[["Flight"], Right | None]
    _arrives_beside: Callable[["Flight"], Right | None]  # blocks
    _watch_times: WatchTimes
    _grace: Grace
    _budget: GatherBudget
    _growth: GrowthTerms
    _first: ByteRanges | None = None  # what the one who begins it wants first; None: all of it
    _hashed_while_open: int = HASHED_WHILE_OPEN_BYTES
    _progress: asyncio.Future[Progress | Failed] = field(factory=_future, init=False)
    # Set with it. To await the future, shielded, takes each reader one more turn of the loop.
    _has_progress: asyncio.Event = field(factory=asyncio.Event, init=False)
    # While it is under way. One that was cancelled keeps its frames, and they keep this.
    _task: asyncio.Task[None] | None = field(default=None, init=False)
    _readers: int = field(default=0, init=False)
    _devices: set[str] = field(factory=set, init=False)  # `GRACE_DEVICES` of those that joined
    _goes_on_to: float = field(default=math.inf, init=False)  # bytes, while nobody reads it
    _machine: ArrivalMachine = field(factory=ArrivalMachine, init=False)
    _taking_up: asyncio.Task[TakenUp | Failed | None] = field(init=False)  # of the folder
    _room: ClaimedRoom = field(init=False)  # from `_have_folder` on
    _come_bytes: int = field(default=0, init=False)  # that the quota counts
    _early: EarlyReaders = field(init=False)
    _ingest: OwnedIngest = field(init=False)  # from `_have_folder` on
    _told: ToldWants | None = field(default=None, init=False)  # None: not yet, or it is over
    _makes_way: bool = field(default=False, init=False)
    length: int | None = field(default=None, init=False)  # that the registry said
    _is_stopped: bool = field(default=False, init=False)  # nobody reads it, say
    ended: asyncio.Event = field(factory=asyncio.Event, init=False)
    _grace_timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Wait for nobody yet."""
        self._early = EarlyReaders(self.right, self._first)

    def take_off(self) -> None:
        """Begin, in a task of its own. `ended` is set at its end."""
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(tell_of_failure)

    @asynccontextmanager
    async def joined(self, device: str, first: ByteRanges | None) -> AsyncIterator[Progress]:
        """Read along; `first`: what of it is wanted first, None: all of it.

        Raises what keeps the blob from beginning to arrive.
        """
        if len(self._devices) < GRACE_DEVICES:
            self._devices.add(device)
        self._readers += 1
        self._goes_on_to = math.inf
        self._stop_grace_timer()
        early = self._early.add(first)
        try:
            await self._has_progress.wait()
            progress = self._progress.result()
            if isinstance(progress, Failed):
                raise progress.own()
            progress.is_left = False
            progress.readers.join()
            try:
                yield progress
            finally:
                progress.readers.leave()
        finally:
            try:
                if early is not None:
                    await self._leave_early(early)
            finally:
                self._readers -= 1
                if self._readers == 0:
                    self._last_one_left()

    @property
    def key(self) -> FlightKey:
        """What is downloaded, on whose behalf."""
        return self.right.key

    @property
    def repository(self) -> RepositoryName:
        """Through which the registry is asked."""
        return self.right.repository

    @property
    def proven_length(self) -> int | None:
        """The blob's length if it was proven."""
        progress = self._begun
        return progress.length if progress is not None and self._machine.is_proven else None

    @property
    def may_be_joined(self) -> bool:
        """Whether another repository may read along: the registry has said yes, and it goes on."""
        return self._machine.state is not ArrivalState.WAITING and not self.is_landing

    @property
    def is_landing(self) -> bool:
        """Whether nobody may join any more. Whoever comes now waits for the end."""
        return self._is_stopped or self._machine.is_over

    def may_be(self, length: int | None) -> bool:
        """Tell whether the blob may have this length, as far as lengths are known."""
        return None in (self.length, length) or self.length == length

    async def land(self) -> None:
        """Stop, keeping what has come, and wait for the end."""
        self._cancel()
        await self.ended.wait()

    def _stop_grace_timer(self) -> None:
        if self._grace_timer is not None:
            self._grace_timer.cancel()
            self._grace_timer = None

    def _cancel(self) -> None:
        if self._task is not None and not self.is_landing:
            self._is_stopped = True
            # Behind its first step: if it were cancelled before, it would never let go of anything.
            asyncio.get_running_loop().call_soon(self._task.cancel)

    async def _leave_early(self, early: EarlyReader) -> None:
        """Want it no more; ask for it no more if nobody has begun to bring it.

        It may leave when it may read, and before anybody has noted what it wants.
        """
        progress = self._begun
        if progress is not None and early.want is not None:
            progress.leave(early.want)
        else:
            await self._early.remove(early)

    def _last_one_left(self) -> None:
        progress = self._begun
        if self._task is None:
            self._close(progress)
        elif self._told is not None and self._told.is_some:  # readers of another process
            self._grace_timer = asyncio.get_running_loop().call_later(
                ELSEWHERE_SECONDS, self._last_one_left
            )
        elif not self._machine.is_proven:
            reached, wanted = (progress.come.count, progress.wanted) if progress else (0, 0)
            self._goes_on_to = self._grace.end(len(self._devices), reached, wanted)
            if progress is not None:
                progress.is_left = True
            self._grace_timer = asyncio.get_running_loop().call_later(
                self._grace.seconds, self._cancel
            )
            self._end_grace()

    def _advance(self, progress: Progress) -> None:
        progress.advance(0, progress.file.checked)
        self._end_grace()

    def _end_grace(self) -> None:
        """Stop if nobody reads it and what was asked for has come, unless that is all of it."""
        progress = self._begun
        if progress is not None and progress.is_ahead:
            return  # asked again once that is written: what came is kept
        reached, length = (progress.come.count, progress.length) if progress else (0, None)
        if self._goes_on_to <= reached and reached != length:
            self._cancel()

    @property
    def _begun(self) -> Progress | None:
        begun = self._progress.result() if self._progress.done() else None
        return begun if isinstance(begun, Progress) else None

    async def _run(self) -> None:
        stopped = ArrivalEndedError("the flight was stopped")  # if nothing else ends it
        failure: Exception = stopped
        take_up = partial(in_store_thread, self._folder.take_up)
        self._taking_up = asyncio.create_task(outcome_of(take_up))
        try:
            async with self._upstreams.lease(self._connection) as leased:
                upstream = leased.asked_by(self._device)
                with upstream.verifying(self.key.kind, self.repository, self.key.digest):
                    async with self._answered(upstream) as answer:
                        self._note_answer(answer)
                        await self._have_folder()
                        progress = await self._begin(answer)
                        await self._receive(answer, progress, upstream)
                await self._prove(progress)
            await finish(self._keep(progress.length or 0))
            if len(self._devices) >= GRACE_DEVICES:
                self._store.note_use(self.key.digest)  # it is not on probation any more
        except _ENDS as error:
            failure = without_frames(error)
        except (OSError, sqlite3.Error) as error:
            _log.error("store failed", digest=self.key.digest, reason=type(error).__name__)
            failure = StoreGaveUpError()
            failure.__cause__ = without_frames(error)
        finally:
            if not self._machine.is_over:
                if failure is stopped and self._ends_for_readers():
                    failure = StoreGaveUpError()
                self._machine.fail(failure)
            try:
                await finish(self._let_go(failure))  # cancelled in it, wrong bytes would stay
            finally:
                self._end(failure)

    def _ends_for_readers(self) -> bool:
        """Tell whether it has ended although it may have readers, who go on from upstream.

        It makes way, or ends by what nobody foresaw: a library may cancel the task that waits for
        it. Who stops a flight has looked that nobody reads it, or stops the facade.
        """
        if not self._is_stopped:
            _log.error("arrival ended, and nobody stopped it", digest=self.key.digest)
        return self._makes_way or not self._is_stopped

    @asynccontextmanager
    async def _answered(self, upstream: Upstream) -> AsyncIterator[Answer]:
        """Ask the registry for what is wanted first; give its answer."""
        left = self._folder.left
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._early.close)
            if left is None:
                self._early.begin(upstream)
                yield await first_answer(upstream, self.right, self._first, stack)
            elif left.length is None:
                size, at_once = left.counted, self._hashed_while_open
                yield await resumed_in_order(upstream, self.right, size, at_once, stack)
            else:
                yield await resumed_answer(upstream, self.right, left, self._first, stack)

    def _note_answer(self, answer: Answer) -> None:
        """Go on, unless this process brings the blob through another repository.

        Raises `ArrivesElsewhereError`. An answer that may be a web page proves nothing. Then the
        bytes decide, as for any blob.
        """
        self.length = answer.length
        if answer.is_claim and (here := self._arrives_here(self)) is not None:
            raise ArrivesElsewhereError(here)
        # In the same step: of several that are answered at once, one goes on.
        self._machine.advance(ArrivalState.ARRIVING)

    async def _have_folder(self) -> None:
        """Go on once the folder is taken up; raise `NothingArrivesError` if it cannot be."""
        taken_up = await asyncio.shield(self._taking_up)
        if isinstance(taken_up, Failed):
            raise taken_up.own()
        if taken_up is None:
            raise NothingArrivesError
        self._ingest, self._told = taken_up.ingest, taken_up.told
        self._room = ClaimedRoom(self._store, self._ingest, self.key.access_key)

    async def _make_room(self, answer: Answer) -> None:
        """Announce the blob, unless the answer alone proves the right to what is there already.

        What is there is looked at while nobody else announces anything, in any process: of those
        that are answered at once, one goes on. Raises `NothingArrivesError` if the blob is stored,
        and `ArrivesElsewhereError`.
        """
        begin = partial(self._room.begin, answer.length, answer.left_bytes, self.repository)
        if not answer.is_claim:
            return await begin()
        try:
            await begin(self._require_brought_here)
        except MayBeStoredError:
            await self._require_not_stored()
            await begin(self._require_not_beside)

    def _require_brought_here(self) -> None:
        """Raise `MayBeStoredError` and `ArrivesElsewhereError`. Blocks."""
        if self._rights.has_any(self.key) and not self._rights.proven(self.right):
            raise MayBeStoredError
        self._require_not_beside()

    def _require_not_beside(self) -> None:
        if (beside := self._arrives_beside(self)) is not None:
            raise ArrivesElsewhereError(beside)

    async def _require_not_stored(self) -> None:
        """Prove the right to what another repository has brought; raise `NothingArrivesError`."""
        blob = await self._store.open_blob(self.key.digest)
        if blob is None:
            return
        blob.close()
        if self.may_be(blob.length):
            await finish_in_thread(self._rights.prove, self.right, OCTET_STREAM)
            raise NothingArrivesError

    async def _begin(self, answer: Answer) -> Progress:
        """Make room and let readers in, because upstream has said that they may read.

        What comes first is received meanwhile, unless it is surely in vain.
        """
        self._come_bytes = answer.left_bytes
        progress = Progress(
            self._ingest.reader(answer.length),
            self.repository,
            self._machine,
            self._store.new_readers(),
            answer.come,
            MarkedRanges(self.key.digest, self._ingest.folder),
        )
        if answer.span is not None and self._store.may_hold(answer.length or 0):
            answer.span.receive_first(progress.show)
        try:
            await self._make_room(answer)
        except BaseException:
            self._close(progress)
            raise
        self._tell(progress)
        await asyncio.sleep(0)  # whoever waits for the first byte has its turn before the rest
        return progress

    def _tell(self, progress: Progress | Failed) -> None:
        self._progress.set_result(progress)
        self._has_progress.set()

    async def _receive(self, answer: Answer, progress: Progress, upstream: Upstream) -> None:
        """Write what comes and let readers follow, until digest and length agree."""
        watching = asyncio.create_task(self._make_way_when_asked())
        try:
            if answer.download is not None:
                await self._early.close()
                await self._receive_in_order(answer.download, progress)
            elif answer.length is not None and self._told is not None:
                await self._fill(answer, answer.length, self._told, progress, upstream)
        finally:
            watching.cancel()
            await until_done(watching)  # it uses the file

    async def _fill(
        self, answer: Answer, length: int, told: ToldWants, progress: Progress, upstream: Upstream
    ) -> None:
        """Bring a blob of known length in whatever order it is waited for."""
        filling = Filling(
            upstream,
            self.repository,
            PieceVerifier(self.key.digest, length),
            self._ingest,
            progress,
            told,
            self._write_segment,
            self._end_grace,
            self._budget,
            length,
            self._growth,
        )
        for each in self._early.end():
            if (want := each.note(length)) is not None:
                progress.want(want)
        # Beside an answer with the whole, each range would come twice.
        early = await self._early.asked_of(length if answer.is_told_by_range else 0)
        doubted = DoubtedLength(upstream, self.repository, self.key.digest, length)
        try:
            await filling.fill(
                answer.span,
                has_ranges=answer.has_ranges,
                doubted=doubted if answer.is_told_by_range else None,
                early=early,
            )
        except (UpstreamError, WrongBytesError) as error:
            if answer.is_told_by_range:
                doubted.note(error)
            raise
        finally:
            await doubted.end()
        if upstream.lengths.was_mistold(self.key.digest):
            upstream.lengths.prove(self.key.digest, length)

    async def _write_segment(
        self, sink: SegmentWriter, write: Callable[[], None], count: int
    ) -> None:
        before = sink.new_bytes
        async with self._room.made_for(self._come_bytes + count):
            await self._write_or_relieve(write, count)
            self._come_bytes += sink.new_bytes - before

    async def _receive_in_order(self, download: Download, progress: Progress) -> None:
        """Bring a blob of unknown length. What a dead owner left is hashed first.

        Readers may read that meanwhile.
        """
        progress.advance(0, progress.file.checked)
        await self._rehash(download.verifier)
        verifier = download.verifier  # not the download, because that will hold the writer
        writer = IngestWriter(
            lambda chunks: self._append(chunks, verifier),
            lambda: self._advance(progress),
            budget=self._budget,
        )
        try:
            async for chunk in download.unverified_chunks(writer.settle):
                await writer.put(chunk)
        finally:
            await writer.stop()

    async def _rehash(self, verifier: PieceVerifier) -> None:
        left = self._ingest.left()

        def take_some() -> bool:
            before = verifier.taken
            for chunk in islice(left, REHASHED_AT_ONCE):
                verifier.take_verbatim(chunk)
            return verifier.taken > before

        while await finish_in_thread(take_some):
            pass

    async def _make_way_when_asked(self) -> None:
        watch = ClaimWatch(self.key.digest, self._ingest, self._room, self._watch_times)
        if not await watch.is_asked_to_make_way():
            return
        _log.warning("arrival makes way, its readers go on from upstream", digest=self.key.digest)
        self._makes_way = True
        self._cancel()

    async def _append(self, chunks: list[bytes], verifier: PieceVerifier) -> None:
        size, count = self._ingest.size, sum(map(len, chunks))
        async with self._room.made_for(size + count):
            await self._write_or_relieve(lambda: self._write(chunks, size, verifier), count)

    async def _write_or_relieve(self, write: Callable[[], None], count: int) -> None:
        """Write so many bytes; if the disk is full, once more after an eviction."""
        try:
            await finish_in_thread(write)
        except OSError as error:
            if error.errno not in DISK_FULL or not await self._relieves_disk(count):
                raise
            await finish_in_thread(write)

    def _write(self, chunks: list[bytes], from_size: int, verifier: PieceVerifier) -> None:
        """Write chunks after so many bytes, and hash them once all are written. Blocks."""
        self._ingest.append(chunks, from_size=from_size)
        for chunk in chunks:
            verifier.take_verbatim(chunk)

    async def _relieves_disk(self, count: int) -> bool:
        try:
            await self._store.relieve_disk(count, Asker(self.key.access_key), RELIEF_BYTES)
        except NoRoomError:
            return False
        return True

    async def _prove(self, progress: Progress) -> None:
        """Let readers go to the end, because digest and length agree."""
        await finish_in_thread(self._ingest.prove)
        progress.file.end()  # its length is known now
        self._machine.advance(ArrivalState.PROVEN)
        progress.tell()
        await finish_in_thread(self._rights.prove, self.right, OCTET_STREAM)

    async def _keep(self, length: int) -> None:
        await self._store.commit(self._ingest, self.key.digest, length)
        self._machine.advance(ArrivalState.KEPT)

    def _end(self, failure: Exception) -> None:
        """Tell readers that no more will come."""
        self._stop_grace_timer()
        progress = self._begun
        if progress is not None:
            progress.tell()
        elif not self._progress.done():
            self._tell(Failed(failure))
        if self._readers == 0:
            self._close(progress)
        self._task = None
        self.ended.set()
        self._ended(self)

    async def _let_go(self, failure: Exception) -> None:
        """Let go of the file, unless it is stored."""
        await until_done(self._taking_up)
        taken_up = self._taking_up.result()
        if not isinstance(taken_up, TakenUp):
            return
        self._told, ingest = None, taken_up.ingest
        close_in_thread(ToldWants.close, taken_up.told)
        if isinstance(failure, WrongBytesError):
            await MarkedRanges(self.key.digest, ingest.folder).tell()
        if self._machine.state is ArrivalState.KEPT:
            return
        at_store = isinstance(failure, UpstreamError) and failure.at_store  # a link, perhaps
        keep_partial = at_store or not isinstance(failure, _NOTHING_TO_KEEP)
        try:
            await finish_in_thread(ingest.release if keep_partial else ingest.discard)
        except OSError as error:  # readers have to be told of the end even if the disk fails
            _log.error("attempt not removed", digest=self.key.digest, reason=type(error).__name__)

    def _close(self, progress: Progress | None) -> None:
        if progress is not None:
            close_in_thread(ArrivingFile.close, progress.file)
