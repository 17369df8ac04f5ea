"""One download of a blob into the store, for everybody who asks for it in the meantime.

A flight belongs to an access key, a kind, a digest and a repository, but to no device: the one that
started it may leave. It asks the registry as if nobody had the blob. When the registry answers with
what may be the blob, the flight ends if the connection has already brought it through another
repository, or is bringing it: its readers read that. One repository never learns what the registry
answered to another, or when.

When the last reader has left, it may go on for a while (`flight_readers`). What has come stays in
either case.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Final

from attrs import define, field

from facade.arrivals.announcing import (
    Alone,
    Announcing,
    ArrivesElsewhereError,
    NothingArrivesError,
)
from facade.arrivals.arrival import ArrivalEndedError, Progress, StoreGaveUpError
from facade.arrivals.arrival_state import ArrivalMachine, ArrivalState
from facade.arrivals.claim_watch import ClaimWatch, WatchTimes
from facade.arrivals.claimed_room import ClaimedRoom
from facade.arrivals.early_readers import EarlyReader, EarlyReaders
from facade.arrivals.first_answer import (
    HASHED_WHILE_OPEN_BYTES,
    Answer,
    first_answer,
    resumed_answer,
    resumed_in_order,
)
from facade.arrivals.flight_readers import FlightReaders
from facade.arrivals.gather_budget import GatherBudget
from facade.arrivals.grace import Grace
from facade.arrivals.marked_ranges import MarkedRanges
from facade.arrivals.receiving import Receiving
from facade.arrivals.room_writes import RoomWrites
from facade.arrivals.stream_growth import GrowthTerms
from facade.arrivals.taken_up import NothingThere, TakenUp
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
from facade.store.wanted_spans import ToldWants
from facade.values.byte_range import ByteRanges
from facade.values.piece import WrongBytesError
from shared.approved_connection import ApprovedConnection
from shared.failures import without_frames
from shared.oci import OCTET_STREAM, RepositoryName
from shared.structured_log import get_logger
from shared.supervised import tell_of_failure
from shared.upstream.errors import UnexpectedAnswerError, UpstreamError

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
    _machine: ArrivalMachine = field(factory=ArrivalMachine, init=False)
    _readers: FlightReaders = field(init=False)
    _taking_up: asyncio.Task[TakenUp | Failed | None] = field(init=False)  # of the folder
    _alone: Alone | None = field(default=None, init=False)  # from the folder's taking up on
    _room: ClaimedRoom = field(init=False)  # from `_have_folder` on
    _early: EarlyReaders = field(init=False)
    _ingest: OwnedIngest = field(init=False)  # from `_have_folder` on
    _told: ToldWants | None = field(default=None, init=False)  # None: not yet, or it is over
    _makes_way: bool = field(default=False, init=False)
    length: int | None = field(default=None, init=False)  # that the registry said
    _is_stopped: bool = field(default=False, init=False)  # nobody reads it, say
    ended: asyncio.Event = field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        """Wait for nobody yet."""
        self._early = EarlyReaders(self.right, self._first)
        self._readers = FlightReaders(self._grace)

    def take_off(self) -> None:
        """Begin, in a task of its own. `ended` is set at its end."""
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(tell_of_failure)

    @asynccontextmanager
    async def joined(self, device: str, first: ByteRanges | None) -> AsyncIterator[Progress]:
        """Read along; `first`: what of it is wanted first, None: all of it.

        Raises what keeps the blob from beginning to arrive.
        """
        self._readers.join(device)
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
                self._readers.leave()
                if self._readers.count == 0:
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
        if self._task is None:
            self._close(self._begun)
        elif self._told is not None and self._told.is_some:  # readers of another process
            self._readers.wait_for_others(self._last_one_left)
        elif not self._machine.is_proven:
            self._readers.begin_grace(self._begun, self._cancel)
            self._end_grace()

    def _end_grace(self) -> None:
        if self._readers.have_enough(self._begun):
            self._cancel()

    @property
    def _begun(self) -> Progress | None:
        begun = self._progress.result() if self._progress.done() else None
        return begun if isinstance(begun, Progress) else None

    async def _run(self) -> None:
        stopped = ArrivalEndedError("the flight was stopped")  # if nothing else ends it
        failure: Exception = stopped
        take_up = partial(in_store_thread, self._take_up)
        self._taking_up = asyncio.create_task(outcome_of(take_up))
        try:
            async with self._upstreams.lease(self._connection) as leased:
                upstream = leased.asked_by(self._device)
                with upstream.verifying(self.key.kind, self.repository, self.key.digest):
                    async with self._answered(upstream) as answer:
                        self._note_answer(answer)
                        told = await self._have_folder()
                        progress = await self._begin(answer)
                        await self._receive(answer, progress, upstream, told)
                await self._prove(progress)
            await finish(self._keep(progress.length or 0))
            if self._readers.are_of_several_devices:
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

    def _take_up(self) -> TakenUp | None:
        """Take the folder up, and look whether others bring the blob, or it is stored. Blocks.

        Raises `OSError`.
        """
        taken_up = self._folder.take_up()
        if taken_up is not None:
            with suppress(OSError):  # then nobody knows
                self._alone = Alone.look(self._store, self.key)
        return taken_up

    async def _have_folder(self) -> ToldWants:
        """Go on once the folder is taken up; return what others wait for.

        Raises `NothingArrivesError` if it cannot be taken up.
        """
        taken_up = await asyncio.shield(self._taking_up)
        if isinstance(taken_up, Failed):
            raise taken_up.own()
        if taken_up is None:
            raise NothingArrivesError
        self._ingest, self._told = taken_up.ingest, taken_up.told
        self._room = ClaimedRoom(self._store, self._ingest, self.key.access_key)
        return taken_up.told

    async def _begin(self, answer: Answer) -> Progress:
        """Make room and let readers in, because upstream has said that they may read.

        What comes first is received meanwhile, unless it is surely in vain. If nobody else brings
        the blob, readers have it before there is room: if there is none, what they were given is
        hashed, and they go on from upstream.
        """
        progress = Progress(
            self._ingest.reader(answer.length),
            self.repository,
            self._machine,
            self._store.new_readers(),
            answer.come,
            MarkedRanges(self.key.digest, self._ingest.folder),
        )
        goes_first = False
        if answer.span is not None and self._store.may_hold(answer.length or 0):
            answer.span.receive_first(progress.show)
            goes_first = self._goes_first(answer)
        if goes_first:
            self._tell(progress)
            await self._announce_first(answer)
            return progress
        try:
            await self._announce(answer)
        except BaseException:
            self._close(progress)
            raise
        self._tell(progress)
        await asyncio.sleep(0)  # whoever waits for the first byte has its turn before the rest
        return progress

    def _goes_first(self, answer: Answer) -> bool:
        """Tell whether readers need not wait for room: all of it is wanted, and nobody else has it.

        If there is no room after a range that lies elsewhere, what was sent could not be hashed.
        """
        is_new_and_whole = self._first is None and not answer.left_bytes
        return is_new_and_whole and self._alone is not None and self._alone.goes_first()

    async def _announce_first(self, answer: Answer) -> None:
        """Announce what has readers already: if there is no room, they go on from upstream."""
        try:
            await self._announce(answer, goes_first=True)
        except NoRoomError as error:
            raise StoreGaveUpError from error
        if self._alone is not None:
            self._alone.has_gone()

    async def _announce(self, answer: Answer, *, goes_first: bool = False) -> None:
        beside = partial(self._arrives_beside, self)
        announcing = Announcing(
            self.right, self._store, self._rights, self._room, beside, self.may_be, self._alone
        )
        await announcing.announce(answer, goes_first=goes_first)

    def _tell(self, progress: Progress | Failed) -> None:
        self._progress.set_result(progress)
        self._has_progress.set()

    async def _receive(
        self, answer: Answer, progress: Progress, upstream: Upstream, told: ToldWants
    ) -> None:
        """Write what comes and let readers follow, until digest and length agree."""
        asker = Asker(self.key.access_key)
        writes = RoomWrites(self._store, self._ingest, self._room, asker, answer.left_bytes)
        receiving = Receiving(
            self.right,
            upstream,
            self._ingest,
            told,
            progress,
            writes,
            self._early,
            self._end_grace,
            self._budget,
            self._growth,
        )
        watching = asyncio.create_task(self._make_way_when_asked())
        try:
            await receiving.receive(answer)
        finally:
            watching.cancel()
            await until_done(watching)  # it uses the file

    async def _make_way_when_asked(self) -> None:
        watch = ClaimWatch(self.key.digest, self._ingest, self._room, self._watch_times)
        if not await watch.is_asked_to_make_way():
            return
        _log.warning("arrival makes way, its readers go on from upstream", digest=self.key.digest)
        self._makes_way = True
        self._cancel()

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
        self._readers.stop_timer()
        progress = self._begun
        if progress is not None:
            progress.tell()
        elif not self._progress.done():
            self._tell(Failed(failure))
        if self._readers.count == 0:
            self._close(progress)
        self._task = None
        self.ended.set()
        self._ended(self)

    async def _let_go(self, failure: Exception) -> None:
        """Let go of the file, unless it is stored."""
        await until_done(self._taking_up)
        taken_up = self._taking_up.result()
        if self._alone is not None:
            close_in_thread(Alone.end, self._alone)
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
