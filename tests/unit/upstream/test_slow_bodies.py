"""Bodies that come so slowly that they would not end: a byte for each second of waiting."""

import asyncio
from typing import Final

import pytest
from attrs import define

from shared.oci import Digest, Kind
from shared.upstream.check import CheckOutcome, check_login
from shared.upstream.errors import Step, UpstreamTimeoutError
from shared.upstream.patience import SLOW_WINDOW_SECONDS, SMALL_BODY_SECONDS, TOKEN_SECONDS
from shared.upstream.transport import Timeouts
from tests.support.clock import Clock
from tests.support.simulators.behaviour import Endless, Slow
from tests.support.simulators.login import BearerLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.upstream.conftest import ROBOT, Connect, target_of
from tests.unit.upstream.reading import APP, read

CONTENT: Final = bytes(range(256)) * 512
TRICKLE: Final = Endless(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b" ", 0.0005)
TOKEN_PATH: Final = "/token"
PATIENCE_SECONDS: Final = 60.0  # only a test that fails takes as long


@define
class SlowClock:
    """Each waiting takes a second: it is asked before and behind it."""

    now: float = 0.0

    @property
    def waited(self) -> float:
        """How many seconds there was waiting."""
        return self.now / 2

    def __call__(self) -> float:
        """Return the time in seconds."""
        self.now += 1
        return self.now


async def test_a_token_that_comes_slowly_is_not_waited_for(connect: Connect) -> None:
    """Every pull of the connection waits with it."""
    clock = SlowClock()
    async with RegistrySimulator(login=BearerLogin("robot$team", "x")) as registry:
        registry.paths[TOKEN_PATH] = TRICKLE
        digest = registry.blob(CONTENT)
        client = await connect(registry, ROBOT, clock=clock)
        with pytest.raises(UpstreamTimeoutError) as failure:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await read(client, digest)
    assert failure.value.step is Step.EXCHANGE
    assert clock.waited <= TOKEN_SECONDS + 1


async def test_a_manifest_that_comes_slowly_is_not_waited_for(connect: Connect) -> None:
    """It may have four million bytes."""
    clock = SlowClock()
    async with RegistrySimulator() as registry:
        digest = registry.manifest(b"{}", get=TRICKLE)
        client = await connect(registry, clock=clock)
        with pytest.raises(UpstreamTimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await read(client, digest, Kind.MANIFEST)
    assert clock.waited <= SMALL_BODY_SECONDS + 1


async def test_a_page_of_tags_that_comes_slowly_is_not_waited_for(connect: Connect) -> None:
    """It may have eight million bytes, and there are many pages."""
    clock = SlowClock()
    async with RegistrySimulator() as registry:
        registry.paths["/v2/team/app/tags/list"] = TRICKLE
        client = await connect(registry, clock=clock)
        with pytest.raises(UpstreamTimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await client.tag_page(APP)
    assert clock.waited <= SMALL_BODY_SECONDS + 1


async def test_a_blob_that_comes_slowly_is_not_waited_for(connect: Connect) -> None:
    """It may have any number of bytes; but some have to come in a minute of waiting."""
    clock = SlowClock()
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=Slow(piece_bytes=1, pause_seconds=0.0005))
        client = await connect(registry, clock=clock)
        with pytest.raises(UpstreamTimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await read(client, digest)
    assert clock.waited <= SLOW_WINDOW_SECONDS + 1


async def test_a_blob_that_comes_with_some_speed_is_waited_for(connect: Connect) -> None:
    """For however long that takes."""
    clock = SlowClock()
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=Slow(piece_bytes=1024, pause_seconds=0.0005))
        client = await connect(registry, clock=clock)
        assert await read(client, digest) == CONTENT
    assert clock.waited > SLOW_WINDOW_SECONDS


@pytest.mark.parametrize("size", [61, 600, 3000])
async def test_a_small_blob_may_end_behind_the_first_minute(connect: Connect, size: int) -> None:
    """It was broken off with its last bytes, which were there."""
    clock, pieces = SlowClock(), int(SLOW_WINDOW_SECONDS) + 1
    slow = Slow(piece_bytes=-(-size // pieces), pause_seconds=0.002)
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT[:size], get=slow)
        client = await connect(registry, clock=clock)
        assert await read(client, digest) == CONTENT[:size]
    assert clock.waited >= SLOW_WINDOW_SECONDS


async def test_the_time_in_which_nobody_reads_is_not_the_registrys(connect: Connect) -> None:
    """A disk, a limit of bandwidth or a slow device keeps the reader from reading."""
    clock = Clock()
    content = CONTENT * 8
    async with RegistrySimulator() as registry:
        blob = Digest.parse(registry.blob(content))
        manifest = Digest.parse(registry.manifest(content))
        client = await connect(registry, clock=clock)
        for kind, digest in ((Kind.BLOB, blob), (Kind.MANIFEST, manifest)):
            received = b""
            async with client.fetch(kind, APP, digest) as answer:
                async for chunk in answer.chunks():
                    received += chunk
                    clock.advance(3600)
            assert received == content


async def test_a_check_does_not_wait_for_a_slow_token() -> None:
    """Somebody waits for the check."""
    async with RegistrySimulator(login=BearerLogin("robot$team", "x")) as registry:
        registry.paths[TOKEN_PATH] = Endless(TRICKLE.begin, b" ", 0.01)
        checked = await check_login(
            target_of(registry), ROBOT, timeouts=Timeouts(token_seconds=0.3)
        )
    assert checked.outcome is CheckOutcome.SKIPPED
    assert checked.problem is not None
    assert checked.problem.code == "timeout"
