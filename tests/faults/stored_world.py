"""A machine with a store, in this process: two facades' worth of it before simulated registries.

Of the first one a range may end before its blob is proven, of the second one none.

Locks of open file descriptions exclude one another within a process too, so two `BlobStore`s on
one folder meet as two facades do. A crash is a copy of the folder taken in the middle: what a
killed machine finds again, with nothing told and nothing cleaned.
"""

import asyncio
import contextlib
import math
import shutil
import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self
from uuid import UUID

from attrs import define, field, frozen

from facade.arrivals.arrival import ArrivalEndedError
from facade.arrivals.claim_watch import WatchTimes
from facade.arrivals.flights import Flights
from facade.arrivals.stream_growth import GrowthTerms
from facade.content.far_ranges import FarRanges
from facade.content.source import BlobPart, PullInProgress
from facade.content.stored_content import StoredContent
from facade.loop.thread_work import STORE_THREADS, in_store_thread
from facade.registries.absences import Absences
from facade.registries.circuit_breaker import CircuitBreaker
from facade.registries.connection_work import ConnectionWork
from facade.registries.payer import FREE
from facade.registries.upstream import Upstream
from facade.registries.upstreams import Upstreams
from facade.rights.right import FlightKey, Right
from facade.rights.rights import Rights
from facade.store.blob_store import BlobStore
from facade.store.file_lock import is_locked
from facade.store.layout import Layout
from facade.values.byte_range import ByteRanges, Span
from facade.values.piece import PIECE_BYTES, WrongBytesError
from facade.values.pull_path import Pull
from shared.approved_connection import ApprovedConnection
from shared.connection import Anonymous, ConnectionDocument
from shared.oci import OCI_MANIFEST, Digest, Kind, RepositoryName
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.client import RegistryClient
from shared.upstream.errors import UpstreamError
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import UpstreamTransport
from tests.faults.stored_files import partials, used_bytes
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Behaviour
from tests.support.simulators.registry import RegistrySimulator

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROCESSES: Final = 2
# Small blobs come in several streams as soon as they can, whether or not that pays.
EAGER: Final = GrowthTerms(
    window_seconds=0,
    window_bytes=0,
    least_come=0,
    least_left=PIECE_BYTES // 2,
    least_gain=0,
    least_slack=-math.inf,
    least_segment=PIECE_BYTES // 4,
)


@frozen
class Content:
    """What registries may have."""

    name: str
    kind: Kind
    content: bytes = field(repr=False)
    algorithm: str = "sha256"

    @property
    def digest(self) -> Digest:
        """Its digest."""
        hasher = Digest(self.algorithm, "").hasher()
        hasher.update(self.content)
        return Digest(self.algorithm, hasher.hexdigest())


@define
class Host:
    """A connected registry; `rotations` makes its access key."""

    name: str
    simulator: RegistrySimulator
    rotations: int = 0

    @property
    def connection(self) -> ApprovedConnection:
        """The connection as it is approved now."""
        number = ord(self.name[0])
        document = ConnectionDocument(
            host=self.simulator.host,
            credential=Anonymous(),
            connected_by="alice",
            connected_at=NOW,
            plain_http=True,
        )
        return ApprovedConnection(
            id=UUID(int=number),
            generation=self.rotations,
            document=document,
            fingerprint=f"sha256:{number:064x}",
            access_key=f"{self.name}-{self.rotations}".ljust(64, "0"),
            approved_by="bob",
            approved_at=NOW,
            expires_at=None,
            sealed_secret=None,
        )

    def serve(
        self, content: Content, repository: str, get: Behaviour, head: Behaviour | None
    ) -> None:
        """Have the registry answer so from now on."""
        digest = str(content.digest)
        if content.kind is Kind.MANIFEST:
            self.simulator.manifest(
                content.content,
                media_type=OCI_MANIFEST,
                repository=repository,
                get=get,
                head=head,
                digest=digest,
            )
        else:
            self.simulator.blob(
                content.content, repository=repository, get=get, head=head, digest=digest
            )


@frozen
class Terms:
    """How the processes watch what arrives, and when it comes in several streams."""

    times: WatchTimes = field(factory=WatchTimes)
    growth: GrowthTerms = field(factory=GrowthTerms)


class Unverified(bytes):
    """A range that was marked: a device holds the whole against the digest."""


@frozen
class Process:
    """One facade's part in the store."""

    store: BlobStore
    rights: Rights
    upstreams: Upstreams
    flights: Flights
    content: StoredContent
    work: ConnectionWork

    @classmethod
    def open(cls, folder: Path, quota: int, terms: "Terms", *, may_be_unverified: bool) -> Self:
        """Open the store as a starting facade does."""
        store, work = BlobStore.open(folder, quota), ConnectionWork()
        rights, upstreams = Rights.open(store.index), Upstreams(_make_upstream, work)
        flights = Flights(store, rights, upstreams, terms.times, growth=terms.growth)
        return cls(
            store,
            rights,
            upstreams,
            flights,
            StoredContent.of(
                store, rights, flights, upstreams, FarRanges(enabled=may_be_unverified)
            ),
            work,
        )

    async def land(self) -> None:
        """Stop what arrives."""
        await self.flights.land()
        await self.content.close()
        await self.upstreams.close()

    async def pull(
        self, host: Host, repository: str, content: Content, span: tuple[int, int] | None
    ) -> bytes | None:
        """Return what ended cleanly, whole or of the span where that can be had; else None."""
        pull = Pull(
            host.simulator.host, RepositoryName.parse(repository), content.kind, content.digest
        )
        try:
            first = ByteRanges(((span[0], span[1] - 1),)) if span else None
            asked = PullInProgress(pull, host.connection, self.upstreams, FREE, first)
            if content.kind is Kind.MANIFEST:
                manifest = await self.content.manifest(asked)
                assert manifest.media_type == OCI_MANIFEST
                return manifest.content
            return await self._blob(asked, span)
        except (UpstreamError, WrongBytesError, ArrivalEndedError):
            return None

    async def _blob(self, asked: PullInProgress, span: tuple[int, int] | None) -> bytes:
        async with self.content.blob(asked) as blob:
            length = blob.length
            if length is None or span is None or span[1] > length:
                # The whole is answered, and ends by itself.
                body = await _body(await blob.whole())
                assert length in (None, len(body)), "a clean end, but not all of it"
                return body[slice(*span) if span else slice(None)]
            wanted = Span(span[0], span[1] - span[0], length)
            part = await blob.part(wanted)
            body = await _body(part)
            assert len(body) == wanted.end - wanted.first, "a clean end, but not all of it"
            return body if part.is_verified else Unverified(body)


async def _body(part: BlobPart) -> bytes:
    return b"".join([bytes(piece) async for piece in part.pieces])


@define
class World:
    """The machine: its folder and its processes."""

    scratch: Path
    quota: int
    hosts: dict[str, Host]
    terms: Terms = field(factory=Terms)
    processes: list[Process] = field(factory=list)
    folder: Path = field(init=False)
    _threads: ThreadPoolExecutor = field(init=False)
    _crashes: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Start on an empty folder."""
        self.folder = self.scratch / "cache-0"
        self._open()

    @classmethod
    async def start(
        cls,
        scratch: Path,
        quota: int,
        names: str,
        times: WatchTimes | None = None,
        growth: GrowthTerms | None = None,
    ) -> Self:
        """Start registries of these names, and the machine before them."""
        hosts = {name: Host(name, await RegistrySimulator().__aenter__()) for name in names}
        terms = Terms(times or WatchTimes(), growth or GrowthTerms())
        return cls(scratch, quota, hosts, terms)

    async def stop(self) -> None:
        """Stop everything."""
        await self._close()
        for host in self.hosts.values():
            await host.simulator.__aexit__()
        shutil.rmtree(self.folder)

    @property
    def layout(self) -> Layout:
        """Where everything lies."""
        return Layout(self.folder)

    def partial(self, host: Host, content: Content, repository: str) -> Path:
        """Return where what has come of a content lies, while it is not all there."""
        return (
            self.layout.flight(Right(_key(host, content), RepositoryName.parse(repository)))
            / "data"
        )

    def has_right(self, host: Host, repository: str, content: Content) -> bool:
        """Tell whether the store lets a connection read a content through a repository."""
        right = Right(_key(host, content), RepositoryName.parse(repository))
        return self.processes[0].rights.proven(right) is not None

    def is_stored(self, content: Content) -> bool:
        """Tell whether there is a file of a content."""
        return self.layout.blob(content.digest).exists()

    @property
    def used_bytes(self) -> int:
        """The bytes of everything that is stored and arriving."""
        return used_bytes(self.folder)

    async def settled(self) -> None:
        """Return once nothing arrives."""
        await eventually(lambda: not any(map(_is_owned, partials(self.folder))))

    async def restart(self) -> None:
        """Stop the processes as they should be stopped, and start them again."""
        await self._close()
        self._open()

    async def crash(self, pulls: Sequence[asyncio.Task[object]] = ()) -> None:
        """Stop everything as it is, pulls too; start on what is found in the folder."""
        left, self._crashes = self.folder, self._crashes + 1
        self.folder = self.scratch / f"cache-{self._crashes}"
        _copy(left, self.folder)
        for pull in pulls:
            pull.cancel()
        await asyncio.gather(*pulls, return_exceptions=True)
        await self._close()
        shutil.rmtree(left)
        self._open()

    async def rotate(self, host: Host) -> None:
        """Give the connection a new secret: another access key."""
        host.rotations += 1
        for process in self.processes:
            process.upstreams.retire(host.connection.id, serving=host.connection)

    def _open(self) -> None:
        self._threads = ThreadPoolExecutor()
        asyncio.get_running_loop().set_default_executor(self._threads)
        self.processes = [
            Process.open(self.folder, self.quota, self.terms, may_be_unverified=number == 0)
            for number in range(PROCESSES)
        ]

    async def _close(self) -> None:
        for process in self.processes:
            await process.land()
        self._threads.shutdown()  # a cancelled pull's thread goes on
        await _store_threads_are_idle()
        for process in self.processes:
            process.store.close()


async def _store_threads_are_idle() -> None:
    """Return once they have done everything, also for pulls that were cancelled."""
    for _ in range(2):  # what was opened for one that was cancelled is closed in a thread, too
        all_are_here = threading.Barrier(STORE_THREADS)
        await asyncio.gather(*(in_store_thread(all_are_here.wait) for _ in range(STORE_THREADS)))


def _key(host: Host, content: Content) -> FlightKey:
    return FlightKey(host.connection.access_key, content.kind, content.digest)


def _copy(left: Path, to: Path) -> None:
    """Copy a folder that is in use; the index as SQLite would recover it."""
    try:
        shutil.copytree(left, to, ignore=shutil.ignore_patterns("index.sqlite3*"))
    except shutil.Error as error:
        failed: list[tuple[str, str, str]] = error.args[0]
        if any(Path(source).exists() for source, _, _ in failed):
            raise  # else it went meanwhile, as if it had crashed a moment later
    source, target = Layout(left).index, Layout(to).index
    with (
        contextlib.closing(sqlite3.connect(source)) as old,
        contextlib.closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def _is_owned(data: Path) -> bool:
    try:
        with data.open("rb") as file:
            return is_locked(file.fileno())
    except FileNotFoundError:
        return False


async def _make_upstream(connection: ApprovedConnection) -> Upstream:
    host = connection.document.host
    transport = await UpstreamTransport.open(
        UpstreamTarget(host, plain_http=True, allow_loopback=True)
    )
    client = RegistryClient(transport, OneShotAuthorizer(transport, None))
    forgetful = Absences(time.monotonic, seconds=0)
    return Upstream(client, CircuitBreaker(time.monotonic), absences=forgetful)
