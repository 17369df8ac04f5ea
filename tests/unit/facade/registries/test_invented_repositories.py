"""A device asks for repositories that it made up, as the first after a start: nobody pays for it.

Real client, broker and sockets. Harbor and Artifactory answer 401 for what does not exist.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from attrs import define, frozen
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
from tests.support.simulators.stored_content import write_plain
from tests.support.simulators.wire import RecordedRequest, Wire
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
        async with world_of(registry, digest) as world:
            yield world


@asynccontextmanager
async def world_of(registry: RegistrySimulator, digest: Digest) -> AsyncIterator[World]:
    """Give the facade's way to a registry."""
    target = UpstreamTarget(registry.host, plain_http=True, allow_loopback=True)
    transport, clock = await UpstreamTransport.open(target), Clock()
    client = client_of(transport, ROBOT, clock, proves_to_realm=True)
    upstream = Upstream(client, CircuitBreaker(clock))
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


async def test_a_password_that_cannot_be_proven_is_shown_no_more_until_it_has_worked(
    world: World,
) -> None:
    """Where `/v2/` is open: each further try may be one more wrong login of the account."""
    world.registry.paths["/v2/"] = Answers(200, body=b"{}")
    for _ in range(2):
        with pytest.raises(CredentialRefusedError):
            await world.ask("invented/0")
    shown = world.shown
    for repository in (APP, "invented/1"):
        with pytest.raises(CredentialRefusedError):
            await world.ask(repository)
    assert world.shown == shown
    world.clock.advance(REFUSAL_SECONDS)
    assert await world.ask(APP) == b"content"
    with pytest.raises(CredentialRefusedError):
        await world.ask("invented/2")
    assert await world.ask("team/other") == b"content"


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


@define
class JudgesScopes(BearerLogin):
    """A token endpoint that answers 401 for a repository that does not exist.

    `for_nothing`: what it answers where no repository is named, if that is no token.
    """

    for_nothing: int | None = None

    @override
    def token_answer(
        self, request: RecordedRequest
    ) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        scopes = [value for name, value in request.query if name == "scope"]
        if not scopes and self.for_nothing is not None:
            return self.for_nothing, (), b"{}"
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


async def test_inventions_at_the_start_refuse_nobody_else(
    world: World, bearer: JudgesScopes
) -> None:
    """Before anything was ever taken: whoever pulled within half a minute was refused."""
    for number in range(INVENTED):
        with pytest.raises(CredentialRefusedError):
            await world.ask(f"invented/{number}")
        if number in (0, INVENTED - 1):
            assert await world.ask(APP) == b"content"
    assert bearer.minted == 1 + 1  # the proof, and APP's


async def test_what_could_not_be_proven_refuses_nobody_else(
    world: World, bearer: JudgesScopes
) -> None:
    """An endpoint that gives no token for no repository says nothing of the credential."""
    bearer.for_nothing = 400
    for number in range(INVENTED):
        with pytest.raises(CredentialRefusedError):
            await world.ask(f"invented/{number}")
    assert await world.ask(APP) == b"content"


async def test_a_wrong_password_is_shown_to_a_token_endpoint_as_seldom_as_ever(
    world: World, bearer: JudgesScopes
) -> None:
    """Once in each time that a refusal holds, whatever is asked for, and once more at first."""
    bearer.password = "another"
    for times in range(1, 6):
        for number in range(INVENTED):
            for repository in (APP, f"team/{number}"):
                with pytest.raises(CredentialRefusedError):
                    await world.ask(repository)
        assert world.shown == times + 1
        world.clock.advance(REFUSAL_SECONDS)
    bearer.password = ROBOT.token.reveal_text()
    assert await world.ask(APP) == b"content"


class EndpointForEach(RegistrySimulator):
    """A registry with a token endpoint for each repository, as Artifactory is; `/v2/` names one."""

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        if request.path.startswith("/token/"):
            assert isinstance(self.login, BearerLogin)
            status, headers, body = self.login.token_answer(request)
            if request.path.startswith("/token/invented"):
                status, headers, body = 401, (), b"{}"
            await write_plain(wire, status, body, headers)
            return
        await super().respond(request, wire)

    @override
    def challenges(self, request: RecordedRequest) -> tuple[str, ...]:
        first = request.path.removeprefix("/v2/").partition("/")[0] or "null"
        return (f'Bearer realm="{self.origin}/token/{first}",service="simulator"',)


@pytest.fixture
async def apart() -> AsyncIterator[World]:
    """Such a registry, at the start."""
    login = BearerLogin(ROBOT.username, ROBOT.token.reveal_text())
    async with EndpointForEach(login=login) as registry:
        digest = Digest.parse(registry.blob(b"content", repository=APP))
        async with world_of(registry, digest) as world:
            yield world


async def test_endpoints_of_inventions_refuse_nobody_else(apart: World) -> None:
    """Two that refuse the password were enough, though another one takes it."""
    for number in range(INVENTED):
        with pytest.raises(CredentialRefusedError):
            await apart.ask(f"invented-{number}/app")
        if number in (1, INVENTED - 1):
            assert await apart.ask(APP) == b"content"


async def test_a_wrong_password_is_shown_to_few_of_many_endpoints(apart: World) -> None:
    """At first to one, for the repository and for none, and to the registry's own; then to that."""
    login = apart.registry.login
    assert isinstance(login, BearerLogin)
    login.password = "another"
    for times in range(1, 6):
        for number in range(INVENTED):
            with pytest.raises(CredentialRefusedError):
                await apart.ask(f"team-{number}/app")
        assert apart.shown == 2 + times
        apart.clock.advance(REFUSAL_SECONDS)
    login.password = ROBOT.token.reveal_text()
    assert await apart.ask(APP) == b"content"
