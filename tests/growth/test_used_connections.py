"""What connections cost that were used once: memory, TLS contexts, threads, sockets."""

import asyncio
import gc
import os
import re
import shutil
import sqlite3
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import field, frozen

from deploy.dev.device_ca import CertificateAuthority
from facade.loop.thread_work import ACCESS_THREADS, INDEX_THREADS, STORE_THREADS
from facade.metrics.metrics import FacadeMetrics
from facade.registries.aws.aws_session import AwsSession
from facade.registries.connection_work import ConnectionWork
from facade.registries.providers import Providers
from facade.registries.unsealer import Unsealer
from facade.registries.upstream_connector import UpstreamConnector
from facade.registries.upstreams import Upstreams
from facade.store.layout import Layout
from shared.approved_connection import ApprovedConnection, approved_connection
from shared.keys import load_sealing_private_keys
from shared.oci import Digest, Kind, RepositoryName
from shared.statement import ConnectionApproval
from shared.upstream.credentials.google import EXCHANGE_THREADS, GoogleTokenEndpoint
from shared.upstream.kept_connections import MOST_KEPT, KeptConnections
from shared.upstream.transport import TransportResources
from tests.growth.measured import GROWTH, Growth, Sizes
from tests.growth.stores import noted_store
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade, device_session
from tests.support.facade_states import CANARY_TOKEN, USERNAME
from tests.support.memory import Memory
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade

SIZES: Final = Sizes(small=(100, 200, 400), full=(1_000, 4_000, 8_000, 10_000))
BLOBS: Final = GROWTH.extent(10_000, 1_000_000)  # in the store of the same facade
COUNTED: Final = Sizes(small=(24, 48, 96), full=(100, 1_000, 10_000))
# Connections that are used before memory is measured: some MB of the index, and of clients' first
# answers, are of none of them.
WARMED_UP: Final = GROWTH.extent(40, 500)
AT_ONCE: Final = 8
MANIFEST: Final = b'{"schemaVersion":2}'
MOST_OPEN: Final = 8
FEW_KEPT: Final = 4
# Of memory, of each: 10,000 within 500 MiB, with 100 of the facade. The first ones have what all
# share, too, and connections that still wait for a next request.
MAX_BYTES: Final = GROWTH.extent(128 * 1024, 48 * 1024)
TOGETHER: Final = 500 * 1024 * 1024  # bytes
QUOTA: Final = "1TiB"  # nothing has to make room
# Of the store, the database and devices, beside connections that wait for their next request.
DESCRIPTORS: Final = 128
KEPT_GROWS: Final = GROWTH.extent(1.0, 0.1)  # until so many wait as may
# A pool's threads come one by one, as more is done at once: on a busy machine later than on others.
THREADS_GROW: Final = GROWTH.extent(1.0, 0.1)  # until every pool has all of its threads
POOLS: Final = STORE_THREADS + ACCESS_THREADS + INDEX_THREADS + EXCHANGE_THREADS
LOOP_THREADS: Final = min(32, (os.cpu_count() or 1) + 4)  # of `asyncio.to_thread`
OTHER_THREADS: Final = 2 + AT_ONCE  # the first one, AWS's, and one for each name being looked up
LOAD_SECONDS: Final = 600.0  # 10,000 approvals on a machine that does something else as well
NO_LIMITS: Final = {
    "FACADE_DEVICE_REQUESTS_PER_SECOND": "0",
    "FACADE_DEVICE_MISSES_PER_MINUTE": "0",
    "FACADE_DEVICE_UPSTREAM_REQUESTS_PER_MINUTE": "0",
    "FACADE_DEVICE_TOKENS_PER_MINUTE": "0",
    "FACADE_LOG_LEVEL": "warning",
}


@frozen
class Registries:
    """One over TLS by its name, with a CA of its own, and one on plain HTTP by its address."""

    over_tls: RegistrySimulator
    plain: RegistrySimulator
    _own: dict[str, Any] = field(repr=False)

    @classmethod
    @asynccontextmanager
    async def serving(
        cls, tls: ssl.SSLContext, ca: CertificateAuthority, login: BasicLogin | None
    ) -> AsyncIterator["Registries"]:
        """Serve until the block's end."""
        async with (
            RegistrySimulator(tls=tls, name="localhost", login=login) as over_tls,
            RegistrySimulator(login=login) as plain,
        ):
            yield cls(over_tls, plain, {"ca_certificate": ca.pem.decode()})

    def approval(
        self, writer: StatementWriter, number: int, **credential: str
    ) -> ConnectionApproval:
        """Return the approval of one of many connections, and give it something to pull."""
        registry, own = (
            (self.plain, {"plain_http": True}) if number % 2 else (self.over_tls, self._own)
        )
        registry.manifest(MANIFEST, repository=f"team-{number}/app")
        prefix = RepositoryName.parse(f"team-{number}")
        return writer.approval(str(registry.host), repository_prefix=prefix, **(own | credential))

    @property
    def open_connections(self) -> int:
        """How many connections either serves now."""
        return self.over_tls.open_connections + self.plain.open_connections

    def path(self, number: int) -> str:
        """Return where a device finds it."""
        registry = self.plain if number % 2 else self.over_tls
        digest = Digest.of(MANIFEST)
        return f"/v2/{registry.host.path_form}/team-{number}/app/manifests/{digest}"


def threads(process: int) -> int:
    """Count a process's threads."""
    found = re.search(
        r"^Threads:\s+(\d+)$", Path(f"/proc/{process}/status").read_text(), re.MULTILINE
    )
    assert found
    return int(found[1])


async def use(facade: Facade, registries: Registries, numbers: Sequence[int]) -> None:
    """Pull through each of these connections once, as one device."""
    left = iter(numbers)
    async with device_session(facade.device().tls()) as session:

        async def pull_some() -> None:
            for number in left:
                url = f"https://localhost:{facade.port}{registries.path(number)}"
                async with session.get(url) as answer:
                    assert (answer.status, await answer.read()) == (200, MANIFEST)

        await asyncio.gather(*(pull_some() for _ in range(AT_ONCE)))


def descriptors(process: int) -> int:
    """Count what a process has open."""
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def stored_blobs(layout: Layout) -> int:
    """Count what a store's index has."""
    with closing(sqlite3.connect(f"file:{layout.index}?mode=ro", uri=True)) as index:
        (counted,) = index.execute("SELECT count(*) FROM blobs").fetchone()
    return int(counted)


def metric(facade: Facade, name: str) -> float:
    """Return a metric without labels."""
    found = re.search(rf"^{name} (\S+)$", facade.operations("/metrics")[1], re.MULTILINE)
    assert found
    return float(found[1])


@pytest.fixture
def full_store(tmp_path: Path) -> Iterator[Layout]:
    """A store with `BLOBS`, none of which is due to be scrubbed."""
    folder = tmp_path / "store"
    yield noted_store(folder, BLOBS, has_files=True, scrubbed_at=time.time())
    shutil.rmtree(folder)


async def test_what_a_used_connection_costs_a_facade(
    growth: Growth,
    server_tls: ssl.SSLContext,
    server_ca: CertificateAuthority,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    full_store: Layout,  # deleted when the facade has ended
    start_facade: StartFacade,
) -> None:
    """Some KiB, not a TLS context and a thread for each, for ever; beside a full store."""
    sizes = growth.sizes(SIZES)
    store = {"FACADE_CACHE_DIR": str(full_store.root), "FACADE_CACHE_MAX_BYTES": QUOTA}
    login = BasicLogin(USERNAME, CANARY_TOKEN)
    async with Registries.serving(server_tls, server_ca, login) as registries:
        await own_writer.write_many(
            registries.approval(own_writer, number, username=USERNAME, token=CANARY_TOKEN)
            for number in range(WARMED_UP + max(sizes))
        )
        facade = start_facade(
            own_writer,
            own_database.facade_url,
            NO_LIMITS | store,
            wait=False,
            seconds=LOAD_SECONDS,  # it compares the store with its index first
        )
        await eventually(facade.is_ready, LOAD_SECONDS)
        await use(facade, registries, range(WARMED_UP))
        process, used = facade.child.pid, WARMED_UP
        before = Memory.of(process).now
        for size in sizes:
            await use(facade, registries, range(used, WARMED_UP + size))
            used = WARMED_UP + size
            taken = Memory.of(process).now - before
            # Less than at the beginning is nothing.
            cost = max(0, taken) // size
            growth.point("G2 memory of a used connection", size=size, cost=cost, unit="bytes")
            growth.point(
                "G2 the facade's threads", size=size, cost=threads(process), unit="threads"
            )
            growth.point(
                "G2 the facade's descriptors", size=size, cost=descriptors(process), unit="files"
            )
            late = round(1000 * metric(facade, "facade_loop_lag_seconds"))
            growth.point("G2 its loop is late, at worst", size=size, cost=late, unit="ms")
        growth.holds("G2 memory of a used connection", exponent=0.3, at_most=MAX_BYTES)
        growth.holds(
            "G2 the facade's descriptors", exponent=KEPT_GROWS, at_most=MOST_KEPT + DESCRIPTORS
        )
        growth.holds(
            "G2 the facade's threads",
            exponent=THREADS_GROW,
            at_most=POOLS + LOOP_THREADS + OTHER_THREADS,
        )
        assert Memory.of(process).now < TOGETHER
        assert stored_blobs(full_store) > BLOBS


@pytest.fixture
async def providers(writer: StatementWriter) -> AsyncIterator[Providers]:
    """Providers that nobody is asked by."""
    opener = Unsealer(load_sealing_private_keys(writer.sealing_private_pem))
    async with AwsSession.open() as aws, GoogleTokenEndpoint.open("http://127.0.0.1:1/") as google:
        yield Providers(opener, aws, google)


async def ask(upstreams: Upstreams, connection: ApprovedConnection, number: int) -> None:
    """Pull through one connection."""
    repository = RepositoryName.parse(f"team-{number}/app")
    digest = Digest.of(MANIFEST)
    async with (
        upstreams.lease(connection) as upstream,
        upstream.fetch(Kind.MANIFEST, repository, digest) as answer,
    ):
        assert b"".join([chunk async for chunk in answer.chunks()]) == MANIFEST


def contexts() -> list[ssl.SSLContext]:
    """Return the TLS contexts of this process."""
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, ssl.SSLContext)]


async def test_what_used_connections_keep_open(
    growth: Growth,
    server_tls: ssl.SSLContext,
    server_ca: CertificateAuthority,
    writer: StatementWriter,
    providers: Providers,
) -> None:
    """One context for all that believe the same; few clients, sockets and no thread."""
    resources = TransportResources(kept=KeptConnections(FEW_KEPT))
    connector = UpstreamConnector(
        providers, FacadeMetrics.create(), allow_loopback=True, resources=resources
    )
    async with AsyncExitStack() as stack:
        registries = await stack.enter_async_context(
            Registries.serving(server_tls, server_ca, None)
        )
        upstreams = Upstreams(connector.connect, ConnectionWork(), max_open=MOST_OPEN)
        stack.push_async_callback(upstreams.close)
        before, used = contexts(), 0  # held, so that none of another test goes meanwhile
        for size in growth.sizes(COUNTED):
            for number in range(used, size):
                approval = registries.approval(writer, number)
                await ask(upstreams, approved_connection(approval), number)
            used = size
            await eventually(
                lambda: not any(each.name.startswith("resolve") for each in threading.enumerate())
            )
            await eventually(lambda: registries.open_connections == resources.kept.count)
            made = len(contexts()) - len(before)
            growth.point("G2 TLS contexts", size=size, cost=made, unit="contexts")
            growth.point("G2 open clients", size=size, cost=upstreams.open, unit="clients")
            growth.point("G2 waiting sockets", size=size, cost=resources.kept.count, unit="sockets")
        growth.holds("G2 TLS contexts", exponent=0, at_most=1)
        growth.holds("G2 open clients", exponent=0, at_most=MOST_OPEN)
        growth.holds("G2 waiting sockets", exponent=0, at_most=FEW_KEPT)
