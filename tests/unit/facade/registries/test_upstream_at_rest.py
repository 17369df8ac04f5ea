"""What an upstream remembers so as not to ask its registry keeps it open; all else does not."""

import ssl
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from attrs import evolve

from deploy.dev.device_ca import CertificateAuthority
from facade.registries.absences import ABSENCE_SECONDS, Absences
from facade.registries.circuit_breaker import FAILURES_TO_OPEN, CircuitBreaker, Question
from facade.registries.failing_paths import REMEMBERED_SECONDS
from facade.registries.registry_troubles import RegistryTrouble, RegistryTroubles
from facade.registries.upstream import Upstream
from facade.registries.wrong_bytes_backoff import FIRST_WAIT_SECONDS, WrongBytesBackoff
from facade.values.piece import WrongBytesError
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.errors import NotInRegistryError, ServerError, UpstreamError
from tests.support.clock import Clock
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.registries.failures import unreached
from tests.unit.facade.registries.login_world import LONG, ROBOT, LoginWorld, login_world

APP = RepositoryName.parse("team/app")
DIGEST = Digest.of(b"content")
BLOB = (Kind.BLOB, APP, DIGEST)


@pytest.fixture
def clock() -> Clock:
    """The clock that everything is remembered by."""
    return Clock()


@pytest.fixture
async def registry() -> AsyncIterator[RegistrySimulator]:
    """One that gives the blob."""
    async with RegistrySimulator() as registry:
        registry.blob(b"content")
        yield registry


@pytest.fixture
async def upstream(connect: Connect, registry: RegistrySimulator, clock: Clock) -> Upstream:
    """A new one, of which everything goes by the clock."""
    made = await connect(registry, absences=Absences(clock), breaker=CircuitBreaker(clock))
    troubles = RegistryTroubles(uuid4(), registry.host, clock)
    return evolve(made, wrong_bytes=WrongBytesBackoff(clock), troubles=troubles)


def at_rest(it: Upstream | CircuitBreaker) -> bool:
    """Ask anew: a property that was true once is not so for ever."""
    return it.is_at_rest


async def read(upstream: Upstream, digest: Digest = DIGEST) -> None:
    """Ask, and read what comes."""
    async with upstream.fetch(Kind.BLOB, APP, digest) as answer:
        async for _ in answer.chunks():
            pass


async def test_one_that_was_used_is_at_rest(upstream: Upstream) -> None:
    """What it has found out it finds out again."""
    assert at_rest(upstream)
    await read(upstream)
    upstream.lengths.prove(DIGEST, 7)
    assert at_rest(upstream)


async def test_a_404_keeps_it_until_it_is_over(upstream: Upstream, clock: Clock) -> None:
    """`FACADE_REMEMBER_MISSING` may be a day."""
    with pytest.raises(NotInRegistryError):
        await read(upstream, Digest.of(b"missing"))
    assert not at_rest(upstream)
    clock.advance(ABSENCE_SECONDS)
    assert at_rest(upstream)


async def test_wrong_bytes_keep_it_until_they_are_over(upstream: Upstream, clock: Clock) -> None:
    """They would be downloaded again at once."""
    with pytest.raises(WrongBytesError), upstream.verifying(*BLOB):
        raise WrongBytesError
    assert not at_rest(upstream)
    clock.advance(FIRST_WAIT_SECONDS)
    assert at_rest(upstream)


async def test_a_length_that_was_wrong_keeps_it(upstream: Upstream) -> None:
    """Whoever were told it again would be cut off."""
    upstream.lengths.distrust(DIGEST, 3)
    assert not at_rest(upstream)
    upstream.lengths.prove(DIGEST, 7)
    assert at_rest(upstream)


@pytest.mark.parametrize("error", [ServerError(500), unreached()])
def test_failures_keep_it_until_they_count_no_more(error: UpstreamError, clock: Clock) -> None:
    """Also those that have not opened a circuit yet."""
    breaker = CircuitBreaker(clock)
    assert at_rest(breaker)
    with pytest.raises(UpstreamError), breaker.attempt(Question(*BLOB)):
        raise error
    assert not at_rest(breaker)
    clock.advance(REMEMBERED_SECONDS)
    with breaker.attempt(Question(*BLOB)):
        pass
    assert at_rest(breaker)


def test_an_open_circuit_keeps_it_until_something_is_answered(clock: Clock) -> None:
    """However long nobody asks: the next one is still the one that tries."""
    breaker = CircuitBreaker(clock)
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(UpstreamError), breaker.attempt(Question(*BLOB)):
            raise unreached()
    clock.advance(10 * REMEMBERED_SECONDS)
    assert not at_rest(breaker)
    with breaker.probe():
        pass
    assert at_rest(breaker)


@pytest.fixture
async def world(
    server_tls: ssl.SSLContext, server_ca: CertificateAuthority
) -> AsyncIterator[LoginWorld]:
    """A registry with a token endpoint."""
    async with login_world(server_tls, server_ca) as world:
        yield world


async def test_tokens_in_hand_do_not_keep_it(world: LoginWorld) -> None:
    """The next pull logs in again."""
    assert await world.pull() == 200
    assert at_rest(world.upstream)


async def test_a_refused_password_keeps_it_until_it_may_be_shown_again(world: LoginWorld) -> None:
    """A new upstream would show it with its first pull: that locks accounts."""
    world.login.password = "changed"
    assert await world.pull() != 200
    shown = world.passwords_shown
    assert not at_rest(world.upstream)
    world.clock.advance(LONG)
    world.login.password = ROBOT.token.reveal_text()
    assert await world.pull() == 200
    assert world.passwords_shown > shown
    assert at_rest(world.upstream)


async def test_a_forced_mint_keeps_it_for_a_minute(world: LoginWorld) -> None:
    """Refused tokens are minted anew once a minute, also if many connections are used."""
    assert await world.pull() == 200
    world.login.revoke_tokens()
    assert await world.pull() == 200
    assert not at_rest(world.upstream)
    world.clock.advance(LONG)
    assert at_rest(world.upstream)


async def test_what_operators_were_told_of_keeps_it_until_its_end(
    upstream: Upstream, registry: RegistrySimulator, clock: Clock
) -> None:
    """Whoever told the beginning tells the end; one repository's own is not waited for."""
    troubles = RegistryTroubles(uuid4(), registry.host, clock)
    upstream = evolve(upstream, troubles=troubles)
    troubles.begin(RegistryTrouble.CREDENTIAL, "refused", APP)
    assert at_rest(upstream)
    troubles.begin(RegistryTrouble.AWAY, "silent")
    assert not at_rest(upstream)
    troubles.end(RegistryTrouble.AWAY)
    assert at_rest(upstream)
