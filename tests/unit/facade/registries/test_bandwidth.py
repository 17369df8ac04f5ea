"""All that a process reads from registries stays within its bandwidth, and is shared fairly."""

import asyncio
import random

from facade.registries.bandwidth import BURST_SECONDS, SLICE_BYTES, Bandwidth
from shared.oci import Digest, Kind, RepositoryName
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect

RATE = 1_600_000  # bytes per second
BURST = RATE * BURST_SECONDS
APP = RepositoryName.parse("team/app")
CONTENT = random.Random(7).randbytes(4_000_000)  # noqa: S311 - any bytes will do


def test_none_is_none() -> None:
    """Where there is no limit there is nothing to pass through."""
    assert Bandwidth.of(0) is None


async def read_for(
    connect: Connect, registry: RegistrySimulator, seconds: float, digests: list[str]
) -> list[int]:
    """Return how many bytes of each came within some seconds, from when all had begun."""
    upstream = await connect(registry, bandwidth=Bandwidth.of(RATE))
    received = [0] * len(digests)
    all_have_begun = asyncio.Barrier(len(digests) + 1)

    async def read(number: int, digest: str) -> None:
        async with upstream.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer:
            await all_have_begun.wait()
            async for chunk in answer.chunks():
                received[number] += len(chunk)

    readers = [asyncio.create_task(read(*each)) for each in enumerate(digests)]
    await all_have_begun.wait()
    await asyncio.wait(readers, timeout=seconds)
    for reader in readers:
        reader.cancel()
    outcomes = await asyncio.gather(*readers, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
    return received


async def test_downloads_together_stay_within_it(connect: Connect) -> None:
    """However many there are; and they have about the same each."""
    seconds = 1.5
    async with RegistrySimulator() as registry:
        digests = [registry.blob(CONTENT + bytes([number])) for number in range(4)]
        received = await read_for(connect, registry, seconds, digests)
    assert 0 < sum(received) <= BURST + RATE * (seconds + 0.5)  # a loaded machine stops late
    assert max(received) - min(received) <= BURST + 2 * SLICE_BYTES


async def test_the_bytes_are_the_same(connect: Connect) -> None:
    """It only waits."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT[:600_000])
        upstream = await connect(registry, bandwidth=Bandwidth.of(RATE))
        async with upstream.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer:
            assert answer.content_length == 600_000
            assert b"".join([chunk async for chunk in answer.chunks()]) == CONTENT[:600_000]
