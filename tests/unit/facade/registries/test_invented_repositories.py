"""A device asks for repositories that it made up, as the first after a start: nobody pays for it.

Real client, broker and sockets. Harbor and Artifactory answer 401 for what does not exist.
"""

from collections.abc import AsyncIterator

import pytest
from attrs import frozen
from typing_extensions import override

from facade.registries.circuit_breaker import CircuitBreaker
from facade.registries.refusals import REFUSAL_SECONDS
from facade.registries.upstream import Upstream
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.errors import CredentialRefusedError
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import UpstreamTransport
from tests.support.clock import Clock
from tests.support.simulators.behaviour import Answers
from tests.support.simulators.login import BearerLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest
from tests.unit.facade.registries.login_world import (
    APP,
    ROBOT,
    ROBOTS_HEADER,
    basic_login,
    client_of,
)

INVENTED = 20
UNAUTHORIZED = Answers(401, (("WWW-Authenticate", 'Basic realm="simulator"'),))


@frozen
class World:
    """A registry that wants Basic, and the facade's way to it."""

    registry: RegistrySimulator
    upstream: Upstream
    digest: Digest
    clock: Clock

    async def ask(self, repository: str) -> bytes:
        """Return the blob of a repository."""
        name = RepositoryName.parse(repository)
        async with self.upstream.fetch(Kind.BLOB, name, self.digest) as answer:
            return b"".join([chunk async for chunk in answer.chunks()])

    @property
    def shown(self) -> int:
        """How often the password was shown."""
        headers = (each.header("Authorization") for each in self.registry.requests)
        return sum(header == ROBOTS_HEADER for header in headers)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Make a world at its start."""
    async with RegistrySimulator(login=basic_login()) as registry:
        digest = Digest.parse(registry.blob(b"content", repository=APP))
        registry.blob(b"content", repository="team/other")
        for number in range(INVENTED):
            registry.blob(b"content", repository=f"invented/{number}", get=UNAUTHORIZED)
        target = UpstreamTarget(registry.host, plain_http=True, allow_loopback=True)
        transport, clock = await UpstreamTransport.open(target), Clock()
        upstream = Upstream(
            client_of(transport, ROBOT, clock, proves_to_realm=True), CircuitBreaker(clock)
        )
        yield World(registry, upstream, digest, clock)
        await upstream.close()


async def test_invented_repositories_refuse_nobody_else(world: World) -> None:
    """60 of 194 pulls of other devices were refused."""
    for number in range(INVENTED):
        for _ in range(2):
            with pytest.raises(CredentialRefusedError):
                await world.ask(f"invented/{number}")
        if number in (0, INVENTED - 1):
            assert await world.ask(APP) == b"content"


async def test_a_wrong_password_is_shown_once_all_the_same(world: World) -> None:
    """Whatever repository is asked for, or the account is locked."""
    world.registry.login = None
    world.registry.ping = UNAUTHORIZED
    for repository in (APP, *(f"invented/{number}" for number in range(INVENTED))):
        world.registry.blob(b"content", repository=repository, get=UNAUTHORIZED)
    for _ in range(2):
        for repository in (APP, *(f"invented/{number}" for number in range(INVENTED))):
            with pytest.raises(CredentialRefusedError):
                await world.ask(repository)
    assert world.shown == 1


class JudgesScopes(BearerLogin):
    """A token endpoint that answers 401 for a repository that does not exist."""

    @override
    def token_answer(
        self, request: RecordedRequest
    ) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        scopes = [value for name, value in request.query if name == "scope"]
        if any("invented" in scope for scope in scopes):
            return 401, (), b"{}"
        return super().token_answer(request)


@pytest.fixture
def bearer(world: World) -> JudgesScopes:
    """The same registry, with a token endpoint."""
    login = JudgesScopes(ROBOT.username, ROBOT.token.reveal_text())
    world.registry.login = login
    return login


async def test_a_token_endpoints_401_for_a_repository_is_nobody_else_s(
    world: World, bearer: JudgesScopes
) -> None:
    """Once it has taken the credential for anybody; proven once for many."""
    assert await world.ask(APP) == b"content"
    for number in range(INVENTED):
        with pytest.raises(CredentialRefusedError):
            await world.ask(f"invented/{number}")
    assert await world.ask("team/other") == b"content"
    assert bearer.minted == 3  # the proof, and the repositories'


async def test_inventions_at_the_start_refuse_others_for_one_time_alone(
    world: World, bearer: JudgesScopes
) -> None:
    """The password might be wrong then. Whoever asks next, the next try is for no repository."""
    with pytest.raises(CredentialRefusedError):
        await world.ask("invented/0")
    with pytest.raises(CredentialRefusedError):
        await world.ask(APP)
    for _ in range(3):
        world.clock.advance(REFUSAL_SECONDS)
        with pytest.raises(CredentialRefusedError):
            await world.ask("invented/1")
        assert await world.ask(APP) == b"content"
    assert bearer.minted == 2 + 2  # APP's, and a proof each time


async def test_a_wrong_password_is_shown_to_a_token_endpoint_as_seldom_as_ever(
    world: World, bearer: JudgesScopes
) -> None:
    """Once in each time that a refusal holds, whatever is asked for."""
    bearer.password = "another"
    for times in range(1, 6):
        for number in range(INVENTED):
            for repository in (APP, f"team/{number}"):
                with pytest.raises(CredentialRefusedError):
                    await world.ask(repository)
        assert world.shown == times
        world.clock.advance(REFUSAL_SECONDS)
    bearer.password = ROBOT.token.reveal_text()
    assert await world.ask(APP) == b"content"
