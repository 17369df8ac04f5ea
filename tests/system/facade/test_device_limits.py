"""A device pays for what it costs upstream: misses and downloads, never for what is here."""

import asyncio
import hashlib
import random
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from uuid import uuid4

import orjson
import pytest

from facade.registries.bandwidth import BURST_SECONDS
from facade.values.piece import PIECE_BYTES
from tests.support.device_stream import device_stream
from tests.support.eventually import PATIENCE_SECONDS, eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Answer, Device, Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.behaviour import Holds
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.stores import store_settings
from tests.system.facade.test_store import stored, successful_gets

MISSES = 4  # a minute: one in 15 s, so that for 10 s nobody waits and the fifth is refused
DOWNLOADS = 2
BANDWIDTH = 2 * 1024 * 1024  # bytes per second
LARGE = random.Random(13).randbytes(4 * PIECE_BYTES)  # noqa: S311 - any bytes will do
LAYERS = 60
WORKERS = 6  # of a client that pulls a blob in ranges, all at once


@pytest.fixture(scope="module")
def facade_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A facade that allows little, and keeps what it fetches."""
    return {
        **store_settings(tmp_path_factory.mktemp("cache")),
        "FACADE_DEVICE_MISSES_PER_MINUTE": str(MISSES),
        "FACADE_DEVICE_DOWNLOADS": str(DOWNLOADS),
        "FACADE_UPSTREAM_BANDWIDTH": str(BANDWIDTH),
    }


def new_device(facade: Facade) -> Device:
    """Return a device that has cost nothing yet."""
    return facade.device(facade.files.device_ca.issue_device(device=f"press-{uuid4()}"))


async def use_up(device: Device, upstream: RegistrySimulator) -> list[str]:
    """Ask for digests that nobody has, until that is refused; return those that were answered."""
    asked: list[str] = []
    while True:
        digest = f"sha256:{hashlib.sha256(bytes([len(asked)])).hexdigest()}"
        answer = await device.get(pull_path(upstream, digest))
        if is_limited(answer):
            return asked
        assert (answer.status, answer.error_code) == (404, "BLOB_UNKNOWN")
        asked.append(digest)
        assert len(asked) <= 2 * MISSES


async def until_limited(device: Device, upstream: RegistrySimulator, method: str) -> None:
    """Ask for what the registry has until that is refused: meanwhile some may be earned again."""
    for number in range(2 * MISSES):
        digest = upstream.blob(f"{method} {number}".encode())
        answer = await device.get(pull_path(upstream, digest), method=method)
        if is_limited(answer):
            return
        assert answer.status == 200
    raise AssertionError(f"it may ask for {2 * MISSES} more")


def path_of(digest: str) -> str:
    """Return where the registry is asked for a blob."""
    return f"/v2/team/app/blobs/{digest}"


def is_limited(answer: Answer) -> bool:
    """Tell whether the answer is the device's own limit, and says when to come again."""
    if answer.status != 429:
        return False
    assert not answer.body or answer.error_code == "TOOMANYREQUESTS"  # HEAD has no body
    return 1 <= int(answer.headers["Retry-After"]) <= 60


async def test_a_device_that_scans_is_limited_and_another_is_served(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Its misses are its own; the registry is asked no more than they allow."""
    digest = upstream.blob(b"content")
    await connect(facade, writer, upstream)
    scanner, other = new_device(facade), new_device(facade)
    asked = await use_up(scanner, upstream)
    assert len(asked) >= MISSES
    assert len(successful_gets(upstream)) == len(asked)
    for method in ("GET", "HEAD"):
        await until_limited(scanner, upstream, method)
    assert (await other.get(pull_path(upstream, digest))).body == b"content"
    metrics = facade.operations("/metrics")[1]
    assert "device_misses" in facade.not_asked()
    assert "press-" not in metrics


async def test_what_is_here_costs_nothing(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Stored blobs, HEAD, 304, and what was just said to be missing: also for who used up all."""
    digest = upstream.blob(b"stored content")
    await connect(facade, writer, upstream)
    device, path = new_device(facade), pull_path(upstream, digest)
    assert (await device.get(path)).status == 200
    await stored(facade, digest)
    absent, *_ = await use_up(device, upstream)
    for _ in range(3 * MISSES):
        assert (await device.get(path)).status == 200
    assert (await device.get(path, method="HEAD")).status == 200
    assert (await device.get(path, **{"If-None-Match": f'"{digest}"'})).status == 304
    assert (await device.get(pull_path(upstream, absent))).status == 404


async def test_reading_along_costs_nothing(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """A download that another device started is joined by one that may start none."""
    held = Holds(PIECE_BYTES)
    digest = upstream.blob(LARGE, get=held)
    await connect(facade, writer, upstream)
    device, other = new_device(facade), new_device(facade)
    await use_up(device, upstream)
    path = pull_path(upstream, digest)
    first = asyncio.create_task(other.get(path))
    await eventually(lambda: path_of(digest) in [each.path for each in upstream.pulls])
    second = asyncio.create_task(device.get(path))
    held.gate.set()
    assert (await second).body == (await first).body == LARGE


async def test_downloads_that_a_device_started_are_limited_while_they_run(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """The next one waits for an end, and is told to come again if there is none."""
    held = [Holds(PIECE_BYTES) for _ in range(DOWNLOADS + 1)]
    paths = [
        pull_path(upstream, upstream.blob(LARGE + bytes([number]), get=hold))
        for number, hold in enumerate(held)
    ]
    await connect(facade, writer, upstream)
    device = new_device(facade)
    running = [asyncio.create_task(device.get(path)) for path in paths[:DOWNLOADS]]
    await eventually(lambda: len(successful_gets(upstream)) == DOWNLOADS)
    assert is_limited(await device.get(paths[-1]))
    assert len(successful_gets(upstream)) == DOWNLOADS
    assert "device_downloads" in facade.not_asked()
    waiting = asyncio.create_task(device.get(paths[-1]))
    for hold in held:
        hold.gate.set()
    answers = await asyncio.gather(*running, waiting)
    assert [answer.status for answer in answers] == [200] * (DOWNLOADS + 1)


async def test_the_bandwidth_is_of_all_downloads_together(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """An uplink is shared with what the site lives on."""
    digests = [upstream.blob(LARGE * 4 + bytes([number])) for number in range(2)]
    await connect(facade, writer, upstream)
    device = new_device(facade)
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(
                device_stream(facade.port, device.tls(), pull_path(upstream, digest))
            )
            for digest in digests
        ]
        assert [stream.status for stream in streams] == [200, 200]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while min(stream.received for stream in streams) < len(LARGE):
                await asyncio.gather(*(stream.take(PIECE_BYTES) for stream in streams))
    received = sum(stream.received for stream in streams)
    # However long it took on this machine: no more than its rate had let through by then.
    assert received <= BANDWIDTH * (time.monotonic() - began + BURST_SECONDS)


async def test_the_bandwidth_is_of_all_streams_of_a_blob_together(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Ranges that are waited for come in streams of their own; each would have had all of it."""
    content = LARGE * 2 * WORKERS
    digest = upstream.blob(content)
    await connect(facade, writer, upstream)
    device, path = new_device(facade), pull_path(upstream, digest)
    size = len(LARGE)
    spans = [(place * size, (place + 1) * size) for place in range(0, 2 * WORKERS, 2)]
    began = time.monotonic()
    answers = await asyncio.gather(
        *(device.get(path, Range=f"bytes={first}-{end - 1}") for first, end in spans)
    )
    assert [answer.body for answer in answers] == [content[first:end] for first, end in spans]
    # Once nothing has come for 2 s it is also asked how long the whole is.
    assert len({each.header("Range") for each in upstream.pulls} - {None}) == WORKERS
    received = sum(len(answer.body) for answer in answers)
    # However long it took on this machine: no more than its rate had let through by then.
    assert received <= BANDWIDTH * (time.monotonic() - began + BURST_SECONDS)


@pytest.fixture
def generous(
    start_facade: StartFacade,
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Facade:
    """A facade with the limits that nobody configured."""
    settings = store_settings(tmp_path_factory.mktemp("generous"))
    return start_facade(own_writer, own_database.facade_url, settings)


async def test_an_image_of_many_layers_is_not_limited(
    generous: Facade, own_writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """By default: a HEAD and a GET for each, all at once, and cold."""
    await connect(generous, own_writer, upstream)
    device = new_device(generous)
    layers = [upstream.blob(bytes([number]) * 50) for number in range(LAYERS)]
    manifest = orjson.dumps({"schemaVersion": 2, "config": {}, "layers": [], "of": layers})
    path = pull_path(upstream, upstream.manifest(manifest), kind="manifests")
    assert (await device.get(path)).body == manifest
    paths = [pull_path(upstream, layer) for layer in layers]
    for method in ("HEAD", "GET"):
        answers = await asyncio.gather(*(device.get(each, method=method) for each in paths))
        assert [answer.status for answer in answers] == [200] * LAYERS
    assert generous.not_asked() == {}
