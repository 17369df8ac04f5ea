"""A body that is framing without an end fails as silence and 5xx do, though its headers are well.

Real client, breaker and sockets.
"""

from collections.abc import AsyncIterator

import pytest
from attrs import define

from facade.registries.circuit import MAX_WAIT_SECONDS
from facade.registries.circuit_breaker import GIVEN_BYTES, CircuitBreaker
from facade.registries.failing_paths import (
    DIGESTS_OF_A_DEVICE,
    DIGESTS_TO_OPEN,
    FAILURES_OF_A_DIGEST,
    CircuitOpenError,
    DeviceFailingError,
    DigestFailingError,
)
from facade.registries.upstream import Upstream
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.client import RegistryClient
from shared.upstream.errors import BrokenBodyError, UpstreamError, WastefulAnswerError
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import UpstreamTransport
from tests.support.clock import Clock
from tests.support.simulators.behaviour import Behaviour, Endless, FewerBytes, RawBytes
from tests.support.simulators.registry import RegistrySimulator

APP = RepositoryName.parse("team/app")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
# Of 1 byte, and of 4, which bring as much as such a body can before it is broken off.
WASTEFUL = (Endless(CHUNKED, b"1\r\nX\r\n"), Endless(CHUNKED, b"4\r\nABCD\r\n"))


@define
class World:
    """A registry, and the facade's way to it."""

    registry: RegistrySimulator
    upstream: Upstream
    breaker: CircuitBreaker
    clock: Clock

    async def pull(self, name: str, device: str, get: Behaviour | None = None) -> str:
        """Pull a blob as a device does; return how it ended: the class of the error, or nothing."""
        digest = Digest.parse(self.registry.blob(name.encode() * 100, get=get))
        upstream = self.upstream.asked_by(device)
        try:
            upstream.require_worth_asking(Kind.BLOB, APP, digest)
            async with upstream.fetch(Kind.BLOB, APP, digest) as answer:
                async for _ in answer.chunks():
                    pass
        except UpstreamError as error:
            return type(error).__name__
        return ""


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Make one."""
    async with RegistrySimulator() as registry:
        target = UpstreamTarget(registry.host, plain_http=True, allow_loopback=True)
        transport, clock = await UpstreamTransport.open(target), Clock()
        breaker = CircuitBreaker(clock)
        client = RegistryClient(transport, OneShotAuthorizer(transport, None))
        upstream = Upstream(client, breaker)
        yield World(registry, upstream, breaker, clock)
        await upstream.close()


@pytest.mark.parametrize("body", WASTEFUL)
async def test_a_digest_that_wastes_is_left_alone(world: World, body: Behaviour) -> None:
    """And nothing else is."""
    for _ in range(FAILURES_OF_A_DIGEST):
        assert await world.pull("bad", "one", body) == WastefulAnswerError.__name__
    assert await world.pull("bad", "two", body) == DigestFailingError.__name__
    assert await world.pull("good", "one") == ""


async def test_a_device_whose_digests_waste_is_stopped_alone(world: World) -> None:
    """Each answer's headers are well, and were taken for something given."""
    for number in range(DIGESTS_OF_A_DEVICE):
        assert await world.pull(f"{number}", "one", WASTEFUL[0]) == WastefulAnswerError.__name__
    assert await world.pull("another", "one", WASTEFUL[0]) == DeviceFailingError.__name__
    assert not world.breaker.is_open
    assert await world.pull("good", "two") == ""


async def test_digests_of_several_devices_stop_everybody_until_something_is_given(
    world: World,
) -> None:
    """One device tries then; a body that comes to its end ends it, and headers alone do not."""
    for device in ("one", "two"):
        for number in range(DIGESTS_TO_OPEN):
            await world.pull(f"{device} {number}", device, WASTEFUL[number % 2])
    assert world.breaker.is_open
    asked = len(world.registry.pulls)
    assert await world.pull("good", "three") == CircuitOpenError.__name__
    assert len(world.registry.pulls) == asked
    world.clock.advance(MAX_WAIT_SECONDS)
    assert await world.pull("bad", "three", WASTEFUL[0]) == WastefulAnswerError.__name__
    assert world.breaker.is_open
    world.clock.advance(MAX_WAIT_SECONDS)
    assert await world.pull("good", "four") == ""
    assert not world.breaker.is_open


async def test_much_of_a_body_is_something_given(world: World) -> None:
    """A long blob is not waited for to its end: nobody else may ask meanwhile."""
    for device in ("one", "two"):
        for number in range(DIGESTS_TO_OPEN):
            await world.pull(f"{device} {number}", device, WASTEFUL[0])
    world.clock.advance(MAX_WAIT_SECONDS)
    long = Digest.parse(world.registry.blob(bytes(4 * GIVEN_BYTES)))
    upstream, received = world.upstream.asked_by("three"), 0
    async with upstream.fetch(Kind.BLOB, APP, long) as answer:
        async for chunk in answer.chunks():
            received += len(chunk)
            assert world.breaker.is_open == (received < GIVEN_BYTES)
    assert received == 4 * GIVEN_BYTES


@pytest.mark.parametrize(
    "body", [FewerBytes(), RawBytes(CHUNKED + b"no size\r\n")], ids=["short", "no HTTP"]
)
async def test_a_body_that_breaks_counts_for_nothing(world: World, body: Behaviour) -> None:
    """It is resumed, by whoever downloads: what came may be most of it."""
    for device in ("one", "two", "three"):
        for number in range(2 * DIGESTS_TO_OPEN):
            ended = await world.pull(f"{device} {number}", device, body)
            assert ended == BrokenBodyError.__name__
    assert not world.breaker.is_open
