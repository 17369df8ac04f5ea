"""What is displaced, fetched and held at others' cost, with little effort of one's own."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest

from shared.oci import OCI_MANIFEST
from shared.outside_bytes import Party
from tests.adversary.bounds import Allowed, patient
from tests.adversary.facade.attacked import AttackedFacade, meanwhile
from tests.adversary.guards import bounds, check, guards_nothing
from tests.faults.stored_files import partials, sizes, stored_blobs
from tests.support.device_stream import device_stream
from tests.support.eventually import eventually
from tests.support.facade_states import CANARY_TOKEN, USERNAME, pull_path
from tests.support.memory import MIB
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.behaviour import RedirectsTo, Stalls
from tests.support.simulators.login import BearerLogin
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator

pytestmark = pytest.mark.attack

QUOTA: Final = 256 * MIB  # of the attacked facade
HOT_BYTES, HOT_BLOBS = 8 * MIB, 24
HALF: Final = QUOTA // 2 - MIB  # what a registry may announce, and is let begin
MOST: Final = QUOTA - 32 * MIB  # what it may not; all of it fits nobody, whatever its share is
ONE_BYTE: Final = b"Range: bytes=0-0\r\n"
LEFT_AFTER_SECONDS: Final = 0.1
MISSES_A_MINUTE: Final = 600
REQUESTS_A_MINUTE: Final = 4 * MISSES_A_MINUTE
TOKENS_A_MINUTE: Final = MISSES_A_MINUTE // 2
MOST_SECONDS: Final = patient(20.0)  # of asking on, until it is too much
SLACK: Final = 32  # what is under way when it is counted
MOST_FETCHED: Final = 32 * MIB  # of 127 MiB, by a device that asked for one byte and left
# 32 connections; the loop's, and what it takes to look.
STOPPED: Final = Allowed(growth_bytes=48 * MIB)


async def in_use(attacked: AttackedFacade) -> list[str]:
    """Have blobs of the victims' registry be stored and used; return their digests."""
    honest, device = attacked.honest, attacked.attacker("honest")
    digests = [honest.blob(number.to_bytes(4) * (HOT_BYTES // 4)) for number in range(HOT_BLOBS)]
    for _ in range(2):
        for digest in digests:
            assert (await device.get(pull_path(honest, digest))).status == 200
            await eventually(lambda: kept(attacked.cache, digest) == 1)  # noqa: B023 - awaited here
    return digests


def kept(cache: Path, *digests: str) -> int:
    """Return how many of these are stored."""
    names = {path.name for path in stored_blobs(cache)}
    return len(names & {digest.partition(":")[2] for digest in digests})


@bounds("facade.store.shares.SHARE_OF_STORE")
@check(
    "facade/arrivals/claimed_room.py",
    "        await self._store.admit(whole, first, claim, Asker(self._access_key), look)\n",
    "        await self._store.admit(whole, first, claim, Asker(self._access_key), look)\n"
    "        await self._make_room_for(whole)\n",
)
@pytest.mark.parametrize("told", [HALF, MOST], ids=["half", "most"])
async def test_a_registry_that_announces_the_store_and_sends_nothing(
    told: int, attacked: AttackedFacade
) -> None:
    """Nothing of anybody goes for it, and others' new blobs are kept meanwhile."""
    hot, device = await in_use(attacked), attacked.attacker()
    lie = attacked.blob(bytes(told), get=Stalls(after=0))
    await attacked.connect()
    row = f"{told // MIB} MiB announced, nothing sent"
    async with attacked.watched(row, Party.REGISTRY) as attack, meanwhile(device.get(lie)):
        fresh = attacked.honest.blob(b"new" * MIB)
        await attacked.attacker("another").get(pull_path(attacked.honest, fresh))
        await eventually(lambda: kept(attacked.cache, fresh) == 1)
        await attack.to_its_end()
    assert kept(attacked.cache, *hot) == HOT_BLOBS


@guards_nothing("several bounds keep it, each a unit test; with any of them broken it still holds")
async def test_a_device_that_asks_for_a_byte_and_leaves(attacked: AttackedFacade) -> None:
    """Again and again; little of the blob comes, and others keep what they use."""
    hot = await in_use(attacked)
    path, device = attacked.blob(bytes(HALF)), attacked.attacker()
    asking = request_bytes(path.encode(), headers=ONE_BYTE)
    await attacked.connect()
    async with attacked.watched("bytes=0-0, and leaves", Party.DEVICE) as attack:
        while attack.goes_on:
            async with raw_connection(device) as connection:
                await connection.send(asking)
                await asyncio.sleep(LEFT_AFTER_SECONDS)
        whole = HALF * kept(attacked.cache, path.rpartition("/")[2])  # is no partial any more
        assert whole + sizes(partials(attacked.cache)) <= MOST_FETCHED
    assert kept(attacked.cache, *hot) * HOT_BYTES >= QUOTA // 2


@bounds("facade.serving.config.device_misses_per_minute")
async def test_a_device_that_asks_for_something_small_of_each_repository(
    attacked: AttackedFacade,
) -> None:
    """Each is four requests upstream and a token; what they take is counted."""
    async with (
        StoreSimulator() as store,
        RegistrySimulator(login=BearerLogin(USERNAME, CANARY_TOKEN)) as registry,
    ):
        await attacked.connect(registry, allowed_networks=("127.0.0.0/8",))
        number, began, statuses = 0, time.monotonic(), set[int]()

        def most(of_a_minute: int) -> float:
            return of_a_minute * (1 + (time.monotonic() - began) / 60)

        async with (
            attacked.watched("something small of each repository", Party.DEVICE) as attack,
            raw_connection(attacked.attacker()) as connection,
        ):
            # Also until it is refused, or has had more than it may have; a machine that is too busy
            # for that cannot be attacked so.
            while attack.goes_on or (
                statuses == {200}
                and number <= most(TOKENS_A_MINUTE) + 2 * SLACK
                and time.monotonic() - began < MOST_SECONDS
            ):
                number += 1
                name, content = f"team/app-{number}", b"%d" % number
                digest = registry.blob(
                    content, repository=name, get=RedirectsTo(store.put(content))
                )
                path = pull_path(registry, digest, repository=name)
                await connection.send(request_bytes(path.encode()))
                statuses.add((await connection.answer()).status)
        assert statuses <= {200, 429}
        assert isinstance(registry.login, BearerLogin)
        assert registry.login.minted <= most(TOKENS_A_MINUTE) + SLACK
        sent = len(registry.requests) + len(store.requests)
        assert sent <= most(REQUESTS_A_MINUTE) + 4 * SLACK


@check(
    "facade/pulls/relay.py",
    "            if connection.writing_paused:\n                await connection.drain()\n",
    "",
)
async def test_a_device_that_reads_no_long_manifest(attacked: AttackedFacade) -> None:
    """On each of its connections another one."""
    document = b'{"schemaVersion":2,"config":{},"layers":[],"padding":"%b"}'
    padding = 4 * MIB - 100
    paths = [
        attacked.manifest(document % (b"%04d" % number * (padding // 4)), media_type=OCI_MANIFEST)
        for number in range(32)
    ]
    await attacked.connect()
    device = attacked.attacker()
    for path in paths:
        assert (await device.get(path)).status == 200
    watched = attacked.watched("32 long manifests, unread", Party.DEVICE, STOPPED)
    async with watched as attack, AsyncExitStack() as stack:
        for path in paths:
            stream = await stack.enter_async_context(
                device_stream(attacked.facade.port, device.tls(), path, receive_buffer=32 * 1024)
            )
            assert stream.status == 200
        await attack.to_its_end()
