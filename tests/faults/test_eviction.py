"""Eviction while devices pull: what is being read stays, and the quota holds at every moment."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.dev.device_ca import IssuedCertificate
from facade.loop.thread_work import STORE_THREADS
from facade.store.file_lock import lock_exclusively
from facade.values.piece import PIECE_BYTES
from tests.faults.extent import extent
from tests.faults.report import FaultReport
from tests.faults.stored_files import QuotaWatch, partials, require_right_files, stored_blobs
from tests.support.device_stream import End, device_stream
from tests.support.eventually import eventually
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.behaviour import Holds, Slow
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.pulls import outcome_of

BLOB_BYTES = 4 * PIECE_BYTES
BLOBS = 9
QUOTA = 3 * BLOB_BYTES
DEVICES = extent(16, 64)
PULLS_EACH = extent(6, 40)
SLOW_READ_BYTES = 64 * 1024
PACE = Slow(PIECE_BYTES, 0.002)
WAITING = STORE_THREADS + 8
FLEET = "example.com/fleet/line-a"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module's cache folder."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def facade_settings(cache: Path) -> Mapping[str, str]:
    """A store with room for a third of what is asked for, and no limit for each device."""
    return {
        "FACADE_CACHE_DIR": str(cache),
        "FACADE_CACHE_MAX_BYTES": str(QUOTA),
        "FACADE_DEVICE_MISSES_PER_MINUTE": "0",
        "FACADE_DEVICE_DOWNLOADS": "0",
    }


async def test_a_revocation_waits_for_no_eviction(
    facade: Facade,
    writer: StatementWriter,
    issued: IssuedCertificate,
    upstream: RegistrySimulator,
    cache: Path,
    fault_report: FaultReport,
) -> None:
    """Nor does what is stored, though more downloads wait to be kept than the store has threads."""
    await connect(facade, writer, upstream)
    device = facade.device(issued)
    stored = upstream.blob(b"stored")
    assert (await outcome_of(device, pull_path(upstream, stored))).digest == stored
    await eventually(lambda: len(stored_blobs(cache)) == 1)
    holds = Holds(1000)
    digests = [upstream.blob(b"%06d" % number * 1000, get=holds) for number in range(WAITING)]
    pulls = [asyncio.create_task(outcome_of(device, pull_path(upstream, each))) for each in digests]
    await eventually(lambda: len(list(cache.glob("ingest/*/announcement"))) == WAITING)
    with (cache / "evictor.lock").open("r+b") as evictor:
        await eventually(lambda: lock_exclusively(evictor.fileno()))  # as a process that evicts
        holds.gate.set()
        assert {each.digest for each in await asyncio.gather(*pulls)} == set(digests)
        assert len(partials(cache)) == WAITING  # each waits to be moved to its place
        name = f"press-{uuid4().hex}"
        revoked = facade.device(facade.files.device_ca.issue_device(device=name))
        async with raw_connection(revoked) as connection:
            await connection.send(request_bytes(b"/v2/"))
            assert (await connection.answer()).status == 200
            await writer.write(writer.device_revocation(f"spiffe://{FLEET}/device/{name}"))
            assert await connection.until_reset() == b""
        assert (await outcome_of(device, pull_path(upstream, stored))).digest == stored
        assert len(partials(cache)) == WAITING
    await eventually(lambda: not partials(cache))
    fault_report.row(
        f"an eviction that does not end, {WAITING} downloads that wait to be kept",
        "a revoked device is cut, another one has what is stored",
        "kept as soon as the eviction ended",
    )


async def test_pulls_in_progress_finish_while_others_evict(
    facade: Facade,
    writer: StatementWriter,
    issued: IssuedCertificate,
    upstream: RegistrySimulator,
    cache: Path,
    fault_report: FaultReport,
) -> None:
    """Some devices read slowly, so that what they read would have to go."""
    chance = random.Random(7)  # noqa: S311 - any order will do
    digests = [upstream.blob(chance.randbytes(BLOB_BYTES), get=PACE) for _ in range(BLOBS)]
    await connect(facade, writer, upstream)
    device = facade.device(issued)

    async def quick(order: list[str]) -> None:
        for digest in order:
            outcome = await outcome_of(device, pull_path(upstream, digest))
            assert (outcome.status, outcome.end, outcome.digest) == (200, End.WHOLE, digest)

    async def slow(order: list[str]) -> None:
        for digest in order[:2]:
            path = pull_path(upstream, digest)
            async with device_stream(
                facade.port, device.tls(), path, receive_buffer=SLOW_READ_BYTES
            ) as stream:
                while stream.received < stream.length:
                    await stream.take(SLOW_READ_BYTES)
                    await asyncio.sleep(0.02)
                assert stream.digest == digest

    orders = [chance.choices(digests, k=PULLS_EACH) for _ in range(DEVICES)]
    async with QuotaWatch(cache) as watch:
        await asyncio.gather(
            *(
                slow(order) if number % 4 == 0 else quick(order)
                for number, order in enumerate(orders)
            )
        )
    assert watch.most_bytes <= QUOTA
    assert facade.log_lines(event="blobs evicted")
    assert not facade.log_lines(level="error")
    require_right_files(cache)
    pulls, fetched = len(facade.log_lines(event="answered", status=200)), len(upstream.pulls)
    fault_report.row(
        f"a quota of 3 blobs, {DEVICES} devices pulling {BLOBS}, a quarter of them slowly",
        f"{pulls} whole right answers",
        f"at most {watch.most_bytes / QUOTA:.0%} of the quota; {fetched} requests upstream",
    )
