"""A machine's processes on one cache folder.

Several stores on one folder stand for several processes: their locks exclude one another all the
same.
"""

from pathlib import Path

from attrs import define, field

from facade.arrivals.flights import Flights
from facade.arrivals.grace import Grace
from facade.registries.connection_work import ConnectionWork
from facade.registries.upstream import Upstream
from facade.registries.upstreams import Upstreams
from facade.rights.right import FlightKey, Right
from facade.rights.rights import Rights
from facade.store.blob_store import BlobStore
from shared.approved_connection import ApprovedConnection
from shared.connection import Anonymous, ConnectionDocument
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.transport import Timeouts
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.strategies import HOST, NOW, approved

APP = RepositoryName.parse("team/app")
CONNECTION = approved(
    ConnectionDocument(host=HOST, credential=Anonymous(), connected_by="alice", connected_at=NOW)
)


def right_to(digest: str) -> Right:
    """Return what the download of a blob proves."""
    return Right(FlightKey(CONNECTION.access_key, Kind.BLOB, Digest.parse(digest)), APP)


@define
class Process:
    """One of them."""

    store: BlobStore
    rights: Rights
    flights: Flights
    is_stopped: bool = False

    async def stop(self) -> None:
        """Stop as a facade does: what arrives lands."""
        if not self.is_stopped:
            self.is_stopped = True
            await self.flights.land()
            self.store.close()


@define
class Machine:
    """The processes, and the registry that their connection is of."""

    registry: RegistrySimulator
    connect: Connect
    folder: Path
    quota: int = 2**30
    _processes: list[Process] = field(factory=list)

    def process(self, grace: Grace | None = None) -> Process:
        """Start another process."""

        async def make(_: ApprovedConnection) -> Upstream:
            return await self.connect(self.registry, timeouts=Timeouts(stall_seconds=5))

        store = BlobStore.open(self.folder, self.quota)
        rights = Rights(store.index)
        flights = Flights(
            store,
            rights,
            Upstreams(make, ConnectionWork()),
            grace=grace or Grace(),
        )
        self._processes.append(Process(store, rights, flights))
        return self._processes[-1]

    async def stop(self) -> None:
        """Stop them all."""
        for process in self._processes:
            await process.stop()
