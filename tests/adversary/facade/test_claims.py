"""What is displaced, fetched and held at others' cost, with little effort of one's own."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from facade.serving.config import REQUESTS_OF_A_MISS, TOKENS_OF_A_MISS
from facade.store.shares import SHARE_OF_STORE
from shared.oci import MAX_MANIFEST_BYTES, OCI_MANIFEST
from shared.outside_bytes import Party
from tests.adversary.watch import Target, Watch
from tests.faults.stored_files import partials, sizes, stored_blobs
from tests.support.device_stream import device_stream
from tests.support.eventually import eventually
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, pull_path
from tests.support.memory import MIB
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.behaviour import RedirectsTo, Stalls
from tests.support.simulators.login import BearerLogin
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack

QUOTA: Final = 256 * MIB  # of the attacked facade
HOT_BYTES, HOT_BLOBS = 8 * MIB, 24
HALF: Final = int(QUOTA * SHARE_OF_STORE) - MIB  # what a registry may announce, and is let begin
ONE_BYTE: Final = b"Range: bytes=0-0\r\n"
LEFT_AFTER_SECONDS: Final = 0.1
MISSES_A_MINUTE: Final = 600
MOST_FETCHED: Final = 32 * MIB  # of 255 MiB, by a device that asked for one byte and left
MOST_OF_A_STOPPED: Final = 48 * MIB  # 32 connections; the loop's, and what it takes to look


async def in_use(device: Device, upstream: RegistrySimulator, cache: Path) -> list[str]:
    """Have blobs of the victims' registry be stored and used; return their digests."""
    digests = [upstream.blob(number.to_bytes(4) * (HOT_BYTES // 4)) for number in range(HOT_BLOBS)]
    for _ in range(2):
        for digest in digests:
            assert (await device.get(pull_path(upstream, digest))).status == 200
            await eventually(lambda: kept(cache, digest) == 1)  # noqa: B023 - awaited here
    return digests


def kept(cache: Path, *digests: str) -> int:
    """Return how many of these are stored."""
    names = {path.name for path in stored_blobs(cache)}
    return len(names & {digest.partition(":")[2] for digest in digests})


@pytest.mark.parametrize("told", [HALF, QUOTA - MIB], ids=["half", "all"])
async def test_a_registry_that_announces_the_store_and_sends_nothing(
    told: int,
    watch: Watch,
    target: Target,
    facade: Facade,
    honest: RegistrySimulator,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> None:
    """Nothing of anybody goes for it, and others' new blobs are kept meanwhile."""
    cache, device = tmp_path / "cache", facade.device()
    hot = await in_use(device, honest, cache)
    lie = upstream.blob(bytes(told), get=Stalls(after=0))
    await connect(facade, own_writer, upstream)
    row = f"{told // MIB} MiB announced, nothing sent"
    async with watch("V3", row, Party.REGISTRY, target) as attack:
        waiting = asyncio.create_task(device.get(pull_path(upstream, lie)))
        fresh = honest.blob(b"new" * MIB)
        await device.get(pull_path(honest, fresh))
        await eventually(lambda: kept(cache, fresh) == 1)
        await attack.to_its_end()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert kept(cache, *hot) == HOT_BLOBS


async def test_a_device_that_asks_for_a_byte_and_leaves(
    watch: Watch,
    target: Target,
    facade: Facade,
    honest: RegistrySimulator,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> None:
    """Again and again; little of the blob comes, and others keep what they use."""
    cache, device = tmp_path / "cache", facade.device()
    hot = await in_use(device, honest, cache)
    path = pull_path(upstream, upstream.blob(bytes(HALF))).encode()
    await connect(facade, own_writer, upstream)
    async with watch("W6", "bytes=0-0, and leaves", Party.DEVICE, target) as attack:
        async with raw_connection(device) as connection:
            await connection.send(request_bytes(path, headers=ONE_BYTE))
            await asyncio.sleep(LEFT_AFTER_SECONDS)
        await attack.to_its_end()
        assert sizes(partials(cache)) <= MOST_FETCHED
    assert kept(cache, *hot) * HOT_BYTES >= QUOTA * SHARE_OF_STORE


async def test_a_device_that_asks_for_something_small_of_each_repository(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
) -> None:
    """Each is four requests upstream and a token; what they take is counted."""
    async with (
        StoreSimulator() as store,
        RegistrySimulator(login=BearerLogin(USERNAME, CANARY_TOKEN)) as registry,
    ):
        await connect(facade, own_writer, registry, allowed_networks=("127.0.0.0/8",))
        device, tls, number = facade.device(), facade.device().tls(), 0
        began = time.monotonic()
        async with (
            watch("W6", "something small of each repository", Party.DEVICE, target) as attack,
            raw_connection(device, tls) as connection,
        ):
            while attack.goes_on:
                number += 1
                name, content = f"team/app-{number}", b"%d" % number
                digest = registry.blob(
                    content, repository=name, get=RedirectsTo(store.put(content))
                )
                path = pull_path(registry, digest, repository=name)
                await connection.send(request_bytes(path.encode()))
                assert (await connection.answer()).status in {200, 429}
        minutes = 1 + (time.monotonic() - began) / 60
        assert isinstance(registry.login, BearerLogin)
        assert registry.login.minted <= MISSES_A_MINUTE * TOKENS_OF_A_MISS * minutes + 32
        sent = len(registry.requests) + len(store.requests)
        assert sent <= MISSES_A_MINUTE * REQUESTS_OF_A_MISS * minutes + 128


async def test_a_device_that_reads_no_long_manifest(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """On each of its connections another one."""
    document = b'{"schemaVersion":2,"config":{},"layers":[],"padding":"%b"}'
    padding = MAX_MANIFEST_BYTES - 100
    paths = [
        pull_path(
            upstream,
            upstream.manifest(
                document % (b"%04d" % number * (padding // 4)), media_type=OCI_MANIFEST
            ),
            kind="manifests",
        )
        for number in range(32)
    ]
    await connect(facade, own_writer, upstream)
    device = facade.device()
    for path in paths:
        assert (await device.get(path)).status == 200
    watched = watch(
        "W4", "32 long manifests, unread", Party.DEVICE, target, max_growth_bytes=MOST_OF_A_STOPPED
    )
    async with watched as attack, AsyncExitStack() as stack:
        for path in paths:
            stream = await stack.enter_async_context(
                device_stream(facade.port, device.tls(), path, receive_buffer=32 * 1024)
            )
            assert stream.status == 200
        await attack.to_its_end()
