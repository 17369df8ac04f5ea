"""Every blob that arrives at this machine: one download of each, for all devices and processes.

Each repository asks the registry itself, and never waits for the answer to another. If the registry
would give it the blob, and the digest is arriving through another repository of the connection by
then, it reads along with that one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from attrs import define, field

from facade.arrivals.announcing import ArrivesElsewhereError, NothingArrivesError
from facade.arrivals.arrival import POLL_SECONDS, Arrival
from facade.arrivals.claim_watch import WatchTimes
from facade.arrivals.flight import Flight
from facade.arrivals.followed_arrival import FollowedArrival
from facade.arrivals.gather_budget import GatherBudget
from facade.arrivals.grace import Grace
from facade.arrivals.marked_ranges import MarkedRanges
from facade.arrivals.rejoining_arrival import RejoiningArrival
from facade.arrivals.stream_growth import GrowthTerms
from facade.arrivals.taken_up import NothingThere, TakenUp
from facade.loop.thread_work import in_store_thread, open_in_thread
from facade.registries.payer import FREE, PaidDownload, PaysDownloads
from facade.registries.upstreams import Upstreams
from facade.rights.right import Right
from facade.rights.rights import Rights
from facade.store.announcement import Announcement
from facade.store.arriving_file import DATA
from facade.store.beginnings import BeginningLock, is_begun
from facade.store.blob_store import BlobStore
from facade.store.followed_ingest import FollowedIngest
from facade.store.ingest_file import is_owned
from facade.values.byte_range import ByteRanges
from shared.approved_connection import ApprovedConnection

BEGIN_SECONDS: Final = 90.0  # for another process's upstream to begin to answer


@define(eq=False)
class _Begun:
    """That somebody of this process tries to begin a flight."""

    is_over: asyncio.Event = field(factory=asyncio.Event)
    is_elsewhere: bool = False  # once it is over: another process has it


@define(eq=False)
class Flights:
    """The flights of this process, and those of others that it follows."""

    _store: BlobStore
    _rights: Rights
    _upstreams: Upstreams
    _watch_times: WatchTimes = field(factory=WatchTimes)
    _grace: Grace = field(factory=Grace)
    _growth: GrowthTerms = field(factory=GrowthTerms)
    followers: int = field(default=0, init=False)  # readers that did not begin the download
    _budget: GatherBudget = field(factory=GatherBudget, init=False)
    _flights: dict[Right, Flight] = field(factory=dict, init=False)
    # No `SingleFlight`: a flight must have a reader. If the one who begins it leaves, the next one
    # pays and begins it.
    _beginning: dict[Right, _Begun] = field(factory=dict, init=False)

    @asynccontextmanager
    async def join(
        self,
        connection: ApprovedConnection,
        right: Right,
        payer: PaysDownloads,
        device: str = "",
        first: ByteRanges | None = None,
    ) -> AsyncIterator[Arrival]:
        """Read along with the download of a blob; if there is none, pay for it and start it.

        `device`: for whom. `first`: what of it is wanted first; None: all of it. Taking over from a
        dead process is free, so that it is never refused in the middle of an answer. Raises what
        keeps the download from beginning, what paying raises, and `NothingArrivesError` if the
        reason is unknown or the blob is stored by now.
        """
        async with AsyncExitStack() as stack:  # a dead owner's file stays open: it may be read

            async def join_once(payer: PaysDownloads) -> Arrival:
                flight = await self._flight(connection, right, payer, first)
                try:
                    return await self._enter(flight, right, device, stack, first)
                except ArrivesElsewhereError as elsewhere:
                    return await self._read_along(elsewhere.right, device, stack, first)

            arrival = await join_once(payer)
            self.followers += 1
            try:
                yield RejoiningArrival(right.repository, arrival, lambda: join_once(FREE))
            finally:
                self.followers -= 1

    async def _enter(
        self,
        flight: Flight | None,
        right: Right,
        device: str,
        stack: AsyncExitStack,
        first: ByteRanges | None,
    ) -> Arrival:
        """Join a flight of this process; without one, follow the other process's."""
        if flight is not None:
            return await stack.enter_async_context(flight.joined(device, first))
        followed = await self._followed(right)
        stack.callback(followed.close)
        return followed

    async def _read_along(
        self, right: Right, device: str, stack: AsyncExitStack, first: ByteRanges | None
    ) -> Arrival:
        """Join what arrives through another repository, if it has begun and still arrives."""
        flight = self._flights.get(right)
        if flight is not None:
            arrives = flight.may_be_joined
        else:
            arrives = await in_store_thread(_arrives, self._store.layout.flight(right))
        if not arrives:
            raise NothingArrivesError
        try:
            return await self._enter(flight, right, device, stack, first)
        except ArrivesElsewhereError as elsewhere:  # another process was a moment earlier
            return await self._read_along(elsewhere.right, device, stack, first)

    async def _flight(
        self,
        connection: ApprovedConnection,
        right: Right,
        payer: PaysDownloads,
        first: ByteRanges | None,
    ) -> Flight | None:
        """Return this process's flight, perhaps a new one; None if another process has it.

        Reading along with that costs nothing. Who can pay at once finds out by taking the blob up,
        and has it back.
        """
        while True:
            flight = self._flights.get(right)
            if flight is not None and not flight.is_landing:
                return flight
            if flight is not None:
                await flight.ended.wait()
            elif (beginning := self._beginning.get(right)) is not None:
                await beginning.is_over.wait()
                if beginning.is_elsewhere:  # a herd does not find that out one after the other
                    return None
            elif (paid := payer.pay_download_nowait()) is not None:
                return await self._begin(connection, right, paid, first)
            elif await in_store_thread(_arrives, self._store.layout.flight(right)):
                if not self._is_begun(right):  # by now this process brings it
                    return None
            else:
                paid = await payer.pay_download()
                if not self._is_begun(right):
                    return await self._begin(connection, right, paid, first)
                paid.give_back()  # another pull has begun it while this one waited to pay

    def _is_begun(self, right: Right) -> bool:
        return right in self._flights or right in self._beginning

    async def _begin(
        self,
        connection: ApprovedConnection,
        right: Right,
        paid: PaidDownload,
        first: ByteRanges | None,
    ) -> Flight | None:
        """Return a new flight; None, with nothing paid, if another process has it."""
        found, begun = None, _Begun()
        self._beginning[right] = begun
        try:
            found = await open_in_thread(self._begin_folder, _let_go, right)
            begun.is_elsewhere = found is None
        finally:
            del self._beginning[right]
            begun.is_over.set()
            if found is None:
                paid.give_back()
        if found is None:
            return None

        def ended(flight: Flight) -> None:
            self._forget(flight)
            paid.end()

        flight = self._flights[right] = Flight(
            right,
            connection,
            found,
            self._store,
            self._rights,
            self._upstreams,
            paid.device,
            ended,
            self._arrives_here,
            self._arrives_beside,
            self._watch_times,
            self._grace,
            self._budget,
            self._growth,
            first,
        )
        flight.take_off()
        return flight

    def _begin_folder(self, right: Right) -> TakenUp | NothingThere | None:
        """Become the one who brings a blob; None if somebody else is. Blocks.

        Raises `NothingArrivesError` if somebody has brought it since the store was looked into: the
        blob is in its place before its owner lets go of the folder.
        """
        layout = self._store.layout
        beginning, folder = BeginningLock.take(layout.beginnings, right.name), layout.flight(right)
        if beginning is None:
            return None
        nothing = NothingThere(folder, beginning)
        found: TakenUp | NothingThere | None = nothing
        try:
            if (folder / DATA).exists():
                found = TakenUp.acquire(folder)
                nothing.let_go()
            if found and self._rights.proven(right) and self._store.can_open(right.key.digest):
                raise NothingArrivesError
        except BaseException:
            _let_go(found)
            raise
        return found

    def _arrives_here(self, flight: Flight) -> Right | None:
        """Return through which other repository this process brings the blob of a flight.

        Not what is proven: it may be stored by now, and then it is a right.
        """
        for other in self._flights.values():
            is_same = other.right.key == flight.key and other.may_be_joined
            if is_same and other.may_be(flight.length) and other.proven_length is None:
                return other.right
        return None

    def _arrives_beside(self, flight: Flight) -> Right | None:
        """Return through which other repository any process has begun to bring it. Blocks."""
        announced = self._announced(flight.right)
        return next((each for each, length in announced if flight.may_be(length)), None)

    def _announced(self, right: Right) -> list[tuple[Right, int | None]]:
        """Return through which other repositories a blob arrives, in any process, and its length.

        Blocks.
        """
        found = []
        for folder in self._store.layout.flights(right.key):
            announced = Announcement.read(folder)
            if announced and announced.repository != right.repository and is_owned(folder):
                found.append((Right(right.key, announced.repository), announced.length))
        return found

    def brings(self, right: Right) -> bool:
        """Tell whether this process is bringing a blob through a repository: it is not stored."""
        flight = self._flights.get(right)
        return flight is not None and not flight.is_landing and flight.proven_length is None

    def proven_length(self, right: Right) -> int | None:
        """Return the length of a blob that has just been proven through a repository.

        None of any other blob, also of one that is stored by now.
        """
        flight = self._flights.get(right)
        return None if flight is None else flight.proven_length

    async def land(self) -> None:
        """Stop every flight, keeping what has come."""
        await asyncio.gather(*(flight.land() for flight in list(self._flights.values())))

    async def _followed(self, right: Right) -> FollowedArrival:
        folder = self._store.layout.flight(right)
        async with asyncio.timeout(BEGIN_SECONDS):
            while True:
                ingest = await open_in_thread(self._open_followed, _close_followed, right)
                if ingest is not None:
                    digest = right.key.digest
                    marked = MarkedRanges(digest, folder)
                    return FollowedArrival(ingest, self._store.layout.blob(digest), marked)
                await asyncio.sleep(POLL_SECONDS)

    def _open_followed(self, right: Right) -> FollowedIngest | None:
        """Open what another process brings; None until that is announced. Blocks.

        Raises `NothingArrivesError` if its owner is done, or died before it began.
        """
        folder = self._store.layout.flight(right)
        is_beginning = is_begun(self._store.layout.beginnings, right.name)
        ingest = FollowedIngest.open(folder)
        if ingest is None and not is_beginning and not is_owned(folder):
            raise NothingArrivesError
        return ingest

    def _forget(self, flight: Flight) -> None:
        if self._flights.get(flight.right) is flight:
            del self._flights[flight.right]


def _arrives(folder: Path) -> bool:
    """Tell whether another process brings it. Blocks."""
    return Announcement.read(folder) is not None and is_owned(folder)


def _let_go(found: TakenUp | NothingThere | None) -> None:
    if found is not None:
        found.let_go()


def _close_followed(ingest: FollowedIngest | None) -> None:
    if ingest is not None:
        ingest.close()
