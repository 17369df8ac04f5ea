"""Devices that do not read: they cost little, and cost the others nothing."""

import asyncio
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack

import aiohttp
import orjson
import pytest
import uvloop
from attrs import frozen

from deploy.dev.device_ca import IssuedCertificate
from deploy.dev.image import Destination, push_big_artifact
from deploy.dev.registry import Registry
from tests.conftest import ROBOT, ROBOT_PASSWORD
from tests.support.device_stream import End, device_stream
from tests.support.facade_process import Facade
from tests.support.facade_states import write_and_wait
from tests.support.memory import MIB, Memory
from tests.support.statement_writer import StatementWriter

SIZE = 256 * MIB  # many times what buffers between a registry and a device can hold
SECONDS = 300.0  # to read that, on a loaded machine
STOPPED = 50
RECEIVE_BUFFER = 32 * 1024
KEPT_UP = 8 * MIB  # behind it a device that reads as fast as it can is given large pieces
SHARED_BYTES = 16 * MIB  # what readers of the same blobs share, however many they are
# Seen: 1.2 MiB with a registry's connection for each device, 0.2 MiB without.
MAX_BYTES_A_DEVICE = {"streamed": 1.75 * MIB, "stored": 0.25 * MIB}


@frozen
class BigBlob:
    """A large blob of a connected registry."""

    path: str
    digest: str


@pytest.fixture(scope="module", params=["streamed", "stored"])
def kind(request: pytest.FixtureRequest) -> str:
    """Once without a store, once with one."""
    return str(request.param)


@pytest.fixture(scope="module")
def facade_settings(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Settings of the kind."""
    if kind == "streamed":
        return {}
    cache = tmp_path_factory.mktemp("cache")
    return {"FACADE_CACHE_DIR": str(cache), "FACADE_CACHE_MAX_BYTES": "1GiB"}


@pytest.fixture(scope="module")
def pushed(htpasswd_registry: Registry) -> BigBlob:
    """Push it, once for the facades of both kinds."""
    repository = f"tests/{uuid.uuid4().hex}"
    login = {"Authorization": aiohttp.encode_basic_auth(ROBOT, ROBOT_PASSWORD)}
    to = Destination(htpasswd_registry.url, repository, login)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        artifact = runner.run(push_big_artifact(to, SIZE))
    digest = orjson.loads(artifact.manifest.body)["layers"][0]["digest"]
    host = htpasswd_registry.host.replace(":", "_")
    return BigBlob(f"/v2/{host}/{repository}/blobs/{digest}", digest)


@pytest.fixture
async def blob(
    facade: Facade, writer: StatementWriter, htpasswd_registry: Registry, pushed: BigBlob
) -> BigBlob:
    """Connect its registry."""
    approval = writer.approval(
        htpasswd_registry.host, username=ROBOT, token=ROBOT_PASSWORD, plain_http=True
    )
    await write_and_wait(facade, writer, approval)
    return pushed


async def settled_memory(facade: Facade) -> int:
    """Return the resident bytes once they do not grow any more."""
    now = Memory.of(facade.child.pid).now
    for _ in range(100):
        await asyncio.sleep(0.2)
        before, now = now, Memory.of(facade.child.pid).now
        if now <= before:
            break
    return now


@pytest.mark.parametrize("read", [KEPT_UP, 0], ids=["in the middle", "at once"])
async def test_fifty_stopped_devices_cost_little(
    read: int, kind: str, facade: Facade, issued: IssuedCertificate, blob: BigBlob
) -> None:
    """Each a bounded number of bytes, whatever the blob's size and how fast they were before."""
    tls = facade.device(issued).tls()
    await _pull(facade, issued, blob)  # what a first pull allocates is nobody's
    before = await settled_memory(facade)
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(
                device_stream(facade.port, tls, blob.path, receive_buffer=RECEIVE_BUFFER)
            )
            for _ in range(STOPPED)
        ]
        assert {stream.status for stream in streams} == {200}
        for stream in streams:
            while stream.received < read:
                await stream.take(MIB)
        grown = await settled_memory(facade) - before
        figure = f"{kind}, {STOPPED} stopped devices: {grown / STOPPED / 1024:.0f} KiB each"
        print(figure)  # noqa: T201 - said with -s, and where the bound is passed
        assert grown < SHARED_BYTES + STOPPED * MAX_BYTES_A_DEVICE[kind], figure
        assert await _pull(facade, issued, blob) is End.WHOLE


async def _pull(facade: Facade, issued: IssuedCertificate, blob: BigBlob) -> End:
    async with device_stream(facade.port, facade.device(issued).tls(), blob.path) as stream:
        end = await stream.end(SECONDS)
        assert stream.digest == blob.digest
        return end
