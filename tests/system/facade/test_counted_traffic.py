"""Every byte and every end of known traffic is in the metrics, once, and in the log.

What a device asks, what the registry gave and what the facade says of it are held against each
other after each step.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attrs import define, field
from prometheus_client.parser import text_string_to_metric_families

from deploy.dev.metrics_page import facade_metrics
from facade.values.piece import PIECE_BYTES
from shared.oci import OCI_MANIFEST
from tests.support.device_stream import device_stream
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path
from tests.support.kept_blob import kept_blob
from tests.support.log_schema import require_documented
from tests.support.simulators.behaviour import Answers, BreaksAt, Holds, OtherBytes, Stalls
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.stores import stored as facade_settings  # noqa: F401 - a fixture

LARGE = random.Random(17).randbytes(8 * PIECE_BYTES + 99)  # noqa: S311 - any bytes will do
MANIFEST = b'{"schemaVersion":2,"config":{},"layers":[]}'
PULLS, DEVICE_BYTES = "facade_pulls_total", "facade_device_bytes_total"
UPSTREAM_BYTES, REQUESTS = "facade_upstream_bytes_total", "facade_upstream_requests_total"
REFUSED = "facade_refused_total"
COUNTED = (PULLS, DEVICE_BYTES, UPSTREAM_BYTES, REQUESTS, REFUSED)


def counters(facade: Facade) -> Counter[tuple[str, ...]]:
    """Return what is counted now: by name and the values of its labels, in their order."""
    text = facade.operations("/metrics")[1]
    return Counter(
        {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in COUNTED
        }
    )


@define
class Traffic:
    """A device and a connected registry, and what was counted of them."""

    facade: Facade
    upstream: RegistrySimulator
    device: Device
    _before: Counter[tuple[str, ...]] = field(factory=Counter)

    def begin(self) -> None:
        """Count from here on."""
        self._before = counters(self.facade)
        self.upstream.requests.clear()

    def came(self) -> dict[tuple[str, ...], int]:
        """Return what was counted since, without requests to the registry."""
        return {key: count for key, count in self._since().items() if key[0] != REQUESTS}

    def _since(self) -> Counter[tuple[str, ...]]:
        return counters(self.facade) - self._before

    def path(self, digest: str, **options: str) -> str:
        """Return where a digest is."""
        return pull_path(self.upstream, digest, **options)

    @asynccontextmanager
    async def counted(self, **expected: int) -> AsyncIterator[None]:
        """Hold what the block makes be counted against the expected, and requests against theirs.

        `kind_outcome_source`: pulls; `to_devices`, `from_upstream`: bytes of both kinds;
        `refused_reason`: what a rule of the facade's own refused.
        """
        self.begin()
        yield
        await eventually(lambda: self._told() == expected and self._asked() == self._seen())

    def _asked(self) -> int:
        return sum(count for key, count in self._since().items() if key[0] == REQUESTS)

    def _seen(self) -> int:
        return len(self.upstream.requests)

    def _told(self) -> dict[str, int]:
        told = Counter[str]()
        for (name, *labels), count in self.came().items():
            match name:
                case "facade_pulls_total":
                    told["_".join(labels)] += count
                case "facade_device_bytes_total":
                    told["to_devices"] += count
                case "facade_upstream_bytes_total":
                    told["from_upstream"] += count
                case "facade_refused_total":
                    told[f"refused_{labels[0]}"] += count
        return dict(told)


@pytest.fixture
async def traffic(facade: Facade, writer: StatementWriter, upstream: RegistrySimulator) -> Traffic:
    """A connected registry that nobody has pulled from."""
    await connect(facade, writer, upstream)
    return Traffic(facade, upstream, facade.device())


async def test_a_miss_and_its_hits(traffic: Traffic, cache: Path) -> None:
    """The registry gives it once: what devices are given besides was saved."""
    digest = traffic.upstream.blob(LARGE)
    path, get = traffic.path(digest), traffic.device.get
    size = len(LARGE)
    async with traffic.counted(blobs_served_upstream=1, to_devices=size, from_upstream=size):
        assert (await get(path)).body == LARGE
    await kept_blob(cache, digest)
    async with traffic.counted(blobs_served_store=1, to_devices=size):
        assert (await get(path)).body == LARGE
    async with traffic.counted(blobs_served_store=1, to_devices=10):
        assert (await get(path, Range="bytes=7-16")).body == LARGE[7:17]
    async with traffic.counted(blobs_served_store=1):
        assert (await get(path, method="HEAD")).status == 200
    async with traffic.counted(blobs_served_store=1):
        assert (await get(path, **{"If-None-Match": f'"{digest}"'})).status == 304
    async with traffic.counted(blobs_refused_none=1, refused_request=1):
        assert (await get(path, Range=f"bytes={size}-")).status == 416


async def test_a_manifest_that_is_fetched_then_stored_then_in_memory(traffic: Traffic) -> None:
    """Whoever answers it: the parser's way, or the one around it."""
    digest = traffic.upstream.manifest(MANIFEST, media_type=OCI_MANIFEST)
    path, size = traffic.path(digest, kind="manifests"), len(MANIFEST)
    async with traffic.counted(manifests_served_upstream=1, to_devices=size, from_upstream=size):
        assert (await traffic.device.get(path)).body == MANIFEST
    async with traffic.counted(manifests_served_store=1, to_devices=size):
        assert (await traffic.device.get(path)).body == MANIFEST
    async with traffic.counted(manifests_served_memory=2, to_devices=2 * size):
        for _ in range(2):
            assert (await traffic.device.get(path)).body == MANIFEST


async def test_devices_that_join_are_no_misses(traffic: Traffic) -> None:
    """One download for three; nobody asked the registry for the other two."""
    holds, size = Holds(3 * PIECE_BYTES), len(LARGE)
    digest = traffic.upstream.blob(LARGE, get=holds)
    async with traffic.counted(
        blobs_served_upstream=1,
        blobs_served_arriving=2,
        to_devices=3 * size,
        from_upstream=size,
    ):
        pulls = [asyncio.create_task(traffic.device.get(traffic.path(digest))) for _ in range(3)]
        await eventually(lambda: gauge(traffic.facade, "facade_followers") == 3)
        assert gauge(traffic.facade, "facade_downloads") == 1
        holds.gate.set()
        assert all([(await each).body == LARGE for each in pulls])
    await eventually(lambda: gauge(traffic.facade, "facade_downloads") == 0)


async def test_a_resumed_download_is_one_pull(traffic: Traffic) -> None:
    """And each byte that was read is counted once: it went on from where it broke."""
    digest, size = traffic.upstream.blob(LARGE, get=BreaksAt(3 * PIECE_BYTES)), len(LARGE)
    async with traffic.counted(blobs_served_upstream=1, to_devices=size, from_upstream=size):
        assert (await traffic.device.get(traffic.path(digest))).body == LARGE
    assert len(traffic.upstream.pulls) >= 2


async def test_a_device_that_leaves_was_sent_what_the_log_says(traffic: Traffic) -> None:
    """Not what it would have been sent; and of a registry that stalls, what had come."""
    content = LARGE[2:]  # that no other test pulls: the line is told by its digest
    digest = traffic.upstream.blob(content, get=Stalls(4 * PIECE_BYTES))
    traffic.begin()
    tls = traffic.device.tls()
    async with device_stream(traffic.facade.port, tls, traffic.path(digest)) as stream:
        await stream.take(1)
    lines = list[dict[str, object]]()

    def is_told() -> bool:
        lines[:] = traffic.facade.log_lines(event="aborted", digest=digest)
        return bool(lines)

    await eventually(is_told)
    came = traffic.came()
    assert came[PULLS, "blobs", "aborted", "upstream"] == 1
    assert came[DEVICE_BYTES, "blobs"] == lines[0]["bytes"]
    assert 0 < came[DEVICE_BYTES, "blobs"] <= 4 * PIECE_BYTES


async def test_what_is_not_served_came_from_nowhere(
    traffic: Traffic, facade: Facade, writer: StatementWriter
) -> None:
    """Whoever refuses it: the registry, its bytes, or a rule of the facade's own."""
    upstream, get = traffic.upstream, traffic.device.get
    missing, failing = f"sha256:{'1' * 64}", upstream.blob(b"fails", get=Answers(500))
    wrong = upstream.blob(b"wrong bytes", get=OtherBytes())
    async with traffic.counted(blobs_refused_none=1):
        assert (await get(traffic.path(missing))).status == 404
    async with traffic.counted(blobs_failed_none=1):
        assert (await get(traffic.path(failing))).status == 503
    async with traffic.counted(blobs_failed_none=1, from_upstream=len(b"wrong bytes")):
        assert (await get(traffic.path(wrong))).status == 502
    async with traffic.counted(refused_request=1):
        assert (await get(traffic.path("latest", kind="manifests"))).status == 404
    async with traffic.counted(blobs_refused_none=1, refused_not_connected=1):
        assert (await get(f"/v2/nowhere.example/team/app/blobs/{missing}")).status == 404
    await connect(facade, writer, upstream, repositories=["team/other"])
    async with traffic.counted(blobs_refused_none=1, refused_scope=1):
        assert (await get(traffic.path(missing))).status == 404


async def test_what_finds_no_room_is_passed_on_and_counted(
    start_facade: StartFacade,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> None:
    """Each such pull is downloaded again: it is larger than the whole quota."""
    quota = {"FACADE_CACHE_DIR": str(tmp_path / "cache"), "FACADE_CACHE_MAX_BYTES": "1MiB"}
    facade = start_facade(own_writer, own_database.facade_url, quota)
    await connect(facade, own_writer, upstream)
    traffic = Traffic(facade, upstream, facade.device())
    path, size = traffic.path(upstream.blob(LARGE)), len(LARGE)
    async with traffic.counted(
        blobs_served_upstream=2, to_devices=2 * size, from_upstream=2 * size
    ):
        for _ in range(2):
            assert (await traffic.device.get(path)).body == LARGE
    not_kept = 'facade_store_not_kept_total{why="room"} 2.0'
    await eventually(lambda: not_kept in facade.operations("/metrics")[1])


async def test_every_metric_stands_in_the_document(traffic: Traffic) -> None:
    """Of a facade that serves, not of one that was only made."""
    await traffic.device.get(traffic.path(traffic.upstream.blob(b"documented")))
    text = traffic.facade.operations("/metrics")[1]
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    assert names == {metric.name for metric in facade_metrics()}


async def test_no_series_is_of_a_device_a_digest_or_a_repository(traffic: Traffic) -> None:
    """Each would be as many series as somebody asks for."""
    digest = traffic.upstream.blob(b"content")
    await traffic.device.get(traffic.path(digest))
    text = traffic.facade.operations("/metrics")[1]
    for name in (digest, digest.removeprefix("sha256:"), "team/app", "press-"):
        assert name not in text
    assert f'host="{traffic.upstream.host}"' in text


async def test_each_line_of_that_traffic_is_as_documented(traffic: Traffic) -> None:
    """Whatever happened before in this module: hits, misses, refusals, aborts, resumes."""
    digest = traffic.upstream.blob(LARGE[1:], get=BreaksAt(3 * PIECE_BYTES))
    for path in (traffic.path(digest), traffic.path(digest), "/v2/nowhere.example/a/tags/list"):
        await traffic.device.get(path)
    events = require_documented(traffic.facade.log_lines())
    assert {"answered", "upstream broke, resuming", "statement accepted"} <= events


def gauge(facade: Facade, name: str) -> float:
    """Return a value without labels."""
    lines = facade.operations("/metrics")[1].splitlines()
    (line,) = (each for each in lines if each.startswith(f"{name} "))
    return float(line.partition(" ")[2])
