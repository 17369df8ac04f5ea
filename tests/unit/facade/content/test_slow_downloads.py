"""Downloads from registries that give next to nothing: they end, and never with wrong bytes."""

import asyncio
import random
from typing import Final

from attrs import define

from facade.arrivals.breaks import MAX_RESUMES_WITHOUT_PROGRESS, MIN_PROGRESS_BYTES
from facade.values.piece import PIECE_BYTES
from shared.upstream.errors import BrokenBodyError, UpstreamTimeoutError
from tests.support.simulators.behaviour import BreaksEvery, Honest, InTurn, Slow
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.content.downloads import downloaded, refused

LARGE: Final = random.Random(11).randbytes(3 * PIECE_BYTES)  # noqa: S311 - any bytes will do
TRICKLE: Final = Slow(piece_bytes=1, pause_seconds=0.0005)
PATIENCE_SECONDS: Final = 60.0  # only a test that fails takes as long


@define
class SlowClock:
    """Each waiting takes a second: it is asked before and behind it."""

    now: float = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        self.now += 1
        return self.now


async def test_a_blob_at_a_byte_a_second_is_resumed_and_then_given_up(connect: Connect) -> None:
    """Each try brings some bytes, and that is no progress."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=TRICKLE)
        upstream = await connect(registry, clock=SlowClock())
        async with asyncio.timeout(PATIENCE_SECONDS):
            received = await refused(upstream, digest, UpstreamTimeoutError)
    assert len(registry.requests) == 1 + MAX_RESUMES_WITHOUT_PROGRESS
    assert LARGE.startswith(received.body)


async def test_a_blob_that_was_too_slow_goes_on_where_it_was(connect: Connect) -> None:
    """Another node of the registry may be quicker."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=InTurn((TRICKLE, Honest())))
        upstream = await connect(registry, clock=SlowClock())
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await downloaded(upstream, digest) == LARGE
    assert len(registry.requests) == 2
    assert (registry.requests[1].header("Range") or "bytes=0-").split("=")[1] != "0-"


async def test_a_blob_that_breaks_behind_every_byte_is_given_up(connect: Connect) -> None:
    """It would take a request for each byte."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=BreaksEvery(1))
        upstream = await connect(registry)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await refused(upstream, digest, BrokenBodyError)
    assert len(registry.requests) == 1 + MAX_RESUMES_WITHOUT_PROGRESS


async def test_a_blob_that_breaks_behind_each_few_kilobytes_comes_whole(connect: Connect) -> None:
    """Each answer is progress."""
    content = LARGE[: 12 * MIN_PROGRESS_BYTES]
    async with RegistrySimulator() as registry:
        digest = registry.blob(content, get=BreaksEvery(MIN_PROGRESS_BYTES))
        assert await downloaded(await connect(registry), digest) == content
