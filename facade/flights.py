"""Every blob that arrives at this machine: one download for each, whoever asks, in any process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from attrs import define, field

from facade.arrival import (
    POLL_SECONDS,
    Arrival,
    FollowedArrival,
    OwnerDiedError,
    StoreGaveUpError,
)
from facade.flight import Flight
from facade.store.blob_store import BlobStore, NoRoomError
from facade.store.ingest_file import FollowedIngest, Inode, OwnedIngest
from facade.store.layout import FlightKey
from facade.upstreams import Upstreams
from shared.approved_connection import ApprovedConnection
from shared.oci import RepositoryName

BEGIN_SECONDS: Final = 90.0  # another process's upstream has so long to begin to answer


class NothingArrivesError(Exception):
    """The other process's download ended before it began, or did not begin in time."""


@define(eq=False)
class _RejoiningArrival:
    """An arrival that goes on when the process that brought it dies: somebody takes over.

    Whoever does goes on with the same file. A new file would be another attempt, and what was
    read of the old one was perhaps what was wrong with it.
    """

    _arrival: Arrival
    _join: Callable[[], Awaitable[Arrival]]

    @property
    def length(self) -> int:
        """Bytes of the whole blob."""
        return self._arrival.length

    @property
    def reached(self) -> int:
        """Bytes that have come."""
        return self._arrival.reached

    @property
    def repository(self) -> RepositoryName:
        """Through which upstream gives it."""
        return self._arrival.repository

    @property
    def inode(self) -> Inode:
        """The file that grows."""
        return self._arrival.inode

    async def readable_beyond(self, offset: int) -> int:
        """Wait as `Arrival` says, over the death of an owner."""
        while True:
            try:
                return await self._arrival.readable_beyond(offset)
            except OwnerDiedError:
                await self._rejoin()

    async def _rejoin(self) -> None:
        try:
            arrival = await self._join()
        except (NothingArrivesError, NoRoomError, OSError) as error:
            raise StoreGaveUpError from error
        if (arrival.length, arrival.inode) != (self.length, self.inode):
            raise StoreGaveUpError
        self._arrival = arrival

    async def read(self, offset: int, count: int) -> bytes | bytearray:
        """Return bytes that may be sent."""
        return await self._arrival.read(offset, count)


@define(eq=False)
class Flights:
    """The flights of this process, and those of others that it follows."""

    _store: BlobStore
    _upstreams: Upstreams
    _flights: dict[FlightKey, Flight] = field(factory=dict, init=False)

    @asynccontextmanager
    async def join(
        self, connection: ApprovedConnection, key: FlightKey, repository: RepositoryName
    ) -> AsyncIterator[Arrival]:
        """Read along with the download of a blob; start it where there is none.

        Raises what keeps it from beginning, `NothingArrivesError` where that is not known.
        """
        async with AsyncExitStack() as stack:  # a dead owner's file stays open: it may be read

            async def join_once() -> Arrival:
                return await stack.enter_async_context(self._join(connection, key, repository))

            yield _RejoiningArrival(await join_once(), join_once)

    @asynccontextmanager
    async def _join(
        self, connection: ApprovedConnection, key: FlightKey, repository: RepositoryName
    ) -> AsyncIterator[Arrival]:
        flight = await self._flight(connection, key, repository)
        if flight is not None:
            async with flight.joined() as progress:
                yield progress
            return
        followed = await self._followed(key)
        try:
            yield followed
        finally:
            followed.close()

    async def _flight(
        self, connection: ApprovedConnection, key: FlightKey, repository: RepositoryName
    ) -> Flight | None:
        """Return this process's flight, a new one perhaps; None where another process has it."""
        while (flight := self._flights.get(key)) is not None and flight.is_landing:
            await flight.ended.wait()
        if flight is None:
            owned = OwnedIngest.acquire(self._store.layout.flight(key))
            if owned is None:
                return None
            flight = self._flights[key] = Flight(
                key, repository, connection, owned, self._store, self._upstreams, self._forget
            )
        return flight

    async def land(self) -> None:
        """Stop every flight, keeping what has come."""
        await asyncio.gather(*(flight.land() for flight in list(self._flights.values())))

    async def _followed(self, key: FlightKey) -> FollowedArrival:
        folder = self._store.layout.flight(key)
        async with asyncio.timeout(BEGIN_SECONDS):
            while folder.exists():
                ingest = await asyncio.to_thread(FollowedIngest.open, folder)
                if ingest is not None:
                    return FollowedArrival(ingest, self._store.layout.blob(key.digest))
                await asyncio.sleep(POLL_SECONDS)
        raise NothingArrivesError

    def _forget(self, flight: Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
