"""A stored manifest that is not in memory is read once for all who ask for it meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from facade.arrivals.flights import Flights
from facade.content.far_ranges import FarRanges
from facade.content.manifest import VerifiedManifest
from facade.content.source import PullInProgress
from facade.content.stored_content import StoredContent
from facade.metrics.pull_metrics import PullSource
from facade.registries.connection_work import ConnectionWork
from facade.registries.payer import FREE
from facade.registries.upstream import Upstream
from facade.registries.upstreams import Upstreams
from facade.rights.rights import Rights
from facade.store.blob_store import BlobStore
from facade.values.pull_path import Pull
from shared.approved_connection import ApprovedConnection
from shared.oci import Digest, Kind
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.content.machine import APP, CONNECTION

DEVICES: Final = 20
MANIFEST: Final = b'{"schemaVersion":2,"layers":[]}'


@asynccontextmanager
async def content_of(folder: Path, upstreams: Upstreams) -> AsyncIterator[StoredContent]:
    """Give what a facade that has just begun serves from a folder."""
    store = BlobStore.open(folder, 2**30)
    rights = Rights(store.index)
    flights = Flights(store, rights, upstreams)
    content = StoredContent.of(store, rights, flights, upstreams, FarRanges(enabled=True))
    yield content
    await content.close()
    await flights.land()
    store.close()


async def test_a_fleet_that_comes_back_has_its_manifest_read_once(
    connect: Connect, tmp_path: Path
) -> None:
    """After a restart; every device has the same bytes, and who comes later has them at once."""
    async with RegistrySimulator() as registry:

        async def make(_: ApprovedConnection) -> Upstream:
            return await connect(registry)

        work = ConnectionWork()
        upstreams = Upstreams(make, work)
        pull = Pull(registry.host, APP, Kind.MANIFEST, Digest.parse(registry.manifest(MANIFEST)))

        async def asked(content: StoredContent) -> tuple[VerifiedManifest, PullSource | None]:
            with work.running(CONNECTION):
                asking = PullInProgress(pull, CONNECTION, upstreams, FREE)
                return await content.manifest(asking), asking.origin.source

        async with content_of(tmp_path, upstreams) as before:
            await asked(before)
        async with content_of(tmp_path, upstreams) as content:
            devices = await asyncio.gather(*(asked(content) for _ in range(DEVICES)))
            later, source = await asked(content)
    assert {manifest.content for manifest, _ in devices} == {MANIFEST}
    assert len({id(manifest.content) for manifest, _ in devices}) == 1
    assert {source for _, source in devices} == {PullSource.STORE}
    assert (later.content is devices[0][0].content, source) == (True, PullSource.MEMORY)
