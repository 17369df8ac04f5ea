"""What of a long partial of unknown length is hashed while upstream's answer is open: nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from attrs import define, field
from typing_extensions import override

from facade.arrivals.claim_watch import WatchTimes
from facade.arrivals.first_answer import HASHED_WHILE_OPEN_BYTES, Left
from facade.arrivals.flight import Flight
from facade.arrivals.gather_budget import GatherBudget
from facade.arrivals.grace import Grace
from facade.arrivals.stream_growth import GrowthTerms
from facade.arrivals.taken_up import TakenUp
from facade.registries.connection_work import ConnectionWork
from facade.registries.upstream import Upstream
from facade.registries.upstreams import Upstreams
from facade.rights.rights import Rights
from facade.store.blob_store import BlobStore
from facade.store.ingest_file import OwnedIngest
from facade.store.wanted_spans import ToldWants
from facade.values.coverage import Coverage
from shared.approved_connection import ApprovedConnection
from tests.growth.measured import GROWTH, Growth, Sizes
from tests.support.simulators.behaviour import Ranged
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest, Wire
from tests.unit.facade.conftest import Connect, connect  # noqa: F401 - a fixture
from tests.unit.facade.content.machine import APP, CONNECTION, right_to

MIB: Final = 1024 * 1024
SIZES: Final = Sizes(small=(8 * MIB, 16 * MIB, 32 * MIB), full=(128 * MIB, 512 * MIB, 2048 * MIB))
# Of the small ones not all is hashed while the answer stands open, either.
WHILE_OPEN: Final = GROWTH.extent(1 * MIB, HASHED_WHILE_OPEN_BYTES)
REST: Final = b"the rest"
UNTOLD: Final = Ranged(names_length=False, names_total=False)


@define(eq=False)
class NotedIngest(OwnedIngest):
    """An arriving file that knows how much of what was left has been hashed."""

    hashed: int = field(default=0, init=False)

    @override
    def left(self) -> Iterator[bytes]:
        for chunk in super().left():
            yield chunk
            self.hashed += len(chunk)


@define
class Openings:
    """A registry's answers for the rest: how much was hashed when each began."""

    left: int
    ingest: NotedIngest | None = None
    unhashed: list[int] = field(factory=list)


class NotingRegistry(RegistrySimulator):
    """Notes when it is asked for more than a first byte."""

    openings: Openings

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        assert self.openings.ingest is not None
        if request.header("Range") != "bytes=0-0":
            self.openings.unhashed.append(self.openings.left - self.openings.ingest.hashed)
        await super().respond(request, wire)


def leave(folder: Path, left: int) -> None:
    """Leave the beginning of a blob, as a process does that was killed; bytes of nothing."""
    ingest = OwnedIngest.acquire(folder)
    assert ingest is not None
    ingest.announce(None, APP, room=left)
    for _ in range(left // MIB):
        ingest.append([bytes(MIB)])
    ingest.release()


@asynccontextmanager
async def store_of(folder: Path) -> AsyncIterator[BlobStore]:
    """Give a store in a folder."""
    store = await asyncio.to_thread(BlobStore.open, folder, 2**40)
    try:
        yield store
    finally:
        store.close()


def nowhere_else(_: Flight) -> None:
    """Nobody else brings it."""


async def taken_over(registry: NotingRegistry, connect: Connect, folder: Path, left: int) -> int:  # noqa: F811
    """Take a partial over; return of how much the registry's answer stood open unread."""

    async def make(_: ApprovedConnection) -> Upstream:
        return await connect(registry)

    hasher = hashlib.sha256()
    for _ in range(left // MIB):
        hasher.update(bytes(MIB))
    hasher.update(REST)
    right = right_to(
        registry.blob(bytes(left) + REST, get=UNTOLD, digest=f"sha256:{hasher.hexdigest()}")
    )
    async with store_of(folder) as store:
        await asyncio.to_thread(leave, store.layout.flight(right), left)
        ingest = await asyncio.to_thread(NotedIngest.acquire, store.layout.flight(right))
        assert ingest is not None
        registry.openings = Openings(left, ingest)
        upstreams, ended = Upstreams(make, ConnectionWork()), asyncio.Event()
        flight = Flight(
            right,
            CONNECTION,
            TakenUp(ingest, ToldWants.open(ingest.folder), Left(None, Coverage(), left)),
            store,
            Rights(store.index),
            upstreams,
            "",
            lambda _: ended.set(),
            lambda _: None,
            nowhere_else,
            WatchTimes(),
            Grace(),
            GatherBudget(),
            GrowthTerms(),
            None,
            WHILE_OPEN,
        )
        flight.take_off()
        await ended.wait()
        await upstreams.close()
        assert store.has(right.key.digest)
    [unhashed] = registry.openings.unhashed
    return unhashed


async def test_a_long_partial_is_hashed_before_its_rest_is_asked_for(
    growth: Growth,
    connect: Connect,  # noqa: F811
    tmp_path: Path,
) -> None:
    """An answer that nobody reads takes a registry's time, and its patience ends."""
    async with NotingRegistry() as registry:
        for size in growth.sizes(SIZES):
            unhashed = await taken_over(registry, connect, tmp_path / str(size), size)
            registry.forget()
            growth.point("G12 left to hash, answer open", size=size, cost=unhashed, unit="bytes")
    growth.holds("G12 left to hash, answer open", exponent=0, at_most=0)
