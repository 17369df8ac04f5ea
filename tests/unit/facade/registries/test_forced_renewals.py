"""A credential of the whole host is refused: when another is minted, and at whose cost.

As for ECR and Google: the registry takes what is minted as Basic. Real client, broker and sockets.
"""

from collections.abc import AsyncIterator

import pytest
from attrs import define, field

from facade.registries.circuit_breaker import CircuitBreaker
from facade.registries.renewed import FORCED_INTERVAL_SECONDS, Lasting, Renewed
from facade.registries.token_broker import TokenBroker
from facade.registries.upstream import Upstream
from shared.oci import Digest, Kind, RepositoryName
from shared.secret import Secret
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.challenge import BasicChallenge, BearerChallenge
from shared.upstream.client import RegistryClient
from shared.upstream.errors import ConnectError, CredentialRefusedError
from shared.upstream.scope import Scope
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import UpstreamTransport
from tests.support.clock import Clock
from tests.support.simulators.behaviour import Answers
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator

APP = "team/app"
INVENTED = 20
UNAUTHORIZED = Answers(401, (("WWW-Authenticate", 'Basic realm="simulator"'),))


@define
class Minted:
    """A registry that takes the newest credential, who mints them, and the facade's way to it."""

    registry: RegistrySimulator
    login: BasicLogin
    digest: Digest
    clock: Clock
    upstream: Upstream = field(init=False)
    mints: int = 0
    is_away: bool = False

    async def mint(self) -> Lasting[BasicCredential | None]:
        """Mint `token 1`, `token 2`, … for twelve hours."""
        self.mints += 1
        if self.is_away:
            raise ConnectError("nobody mints now")
        return Lasting(BasicCredential("AWS", Secret(f"token {self.mints}")), 12 * 3600.0)

    def end_credential(self) -> None:
        """Have the registry take what is minted next, and nothing else."""
        self.registry.login = BasicLogin("AWS", f"token {self.mints + 1}")

    async def ask(self, repository: str) -> bytes:
        """Return the blob of a repository."""
        name = RepositoryName.parse(repository)
        async with self.upstream.fetch(Kind.BLOB, name, self.digest) as answer:
            return b"".join([chunk async for chunk in answer.chunks()])

    async def ask_for_inventions(self, first: int = 0) -> None:
        """Ask for repositories that there are not."""
        for number in range(first, first + INVENTED):
            path = f"invented/{number}"
            self.registry.blob(b"content", repository=path, get=UNAUTHORIZED)
            with pytest.raises(CredentialRefusedError):
                await self.ask(path)


async def _no_token(_: BearerChallenge, __: Scope, ___: BasicCredential | None) -> Lasting[Secret]:
    raise AssertionError("no token is asked for")


@pytest.fixture
async def minted() -> AsyncIterator[Minted]:
    """One whose credential has worked for a repository."""
    login = BasicLogin("AWS", "token 1")
    async with RegistrySimulator(login=login) as registry:
        digest = Digest.parse(registry.blob(b"content", repository=APP))
        registry.blob(b"content", repository="team/new")
        world = Minted(registry, login, digest, Clock())
        target = UpstreamTarget(registry.host, plain_http=True, allow_loopback=True)
        transport = await UpstreamTransport.open(target)
        broker = TokenBroker(
            Renewed(world.mint, world.clock), _no_token, BasicChallenge(), clock=world.clock
        )
        client = RegistryClient(transport, broker)
        world.upstream = Upstream(client, CircuitBreaker(world.clock))
        assert await world.ask(APP) == b"content"
        yield world
        await world.upstream.close()


async def test_inventions_use_up_nobody_s_renewal(minted: Minted) -> None:
    """One was minted for them, and for a minute none for who needed it."""
    await minted.ask_for_inventions()
    minted.end_credential()
    assert await minted.ask(APP) == b"content"


async def test_inventions_have_one_minted_a_minute(minted: Minted) -> None:
    """However many there are: each may be a repository that was made just now."""
    for times in range(1, 4):
        await minted.ask_for_inventions(times * INVENTED)
        assert minted.mints == 1 + times
        minted.registry.login = None
        assert await minted.ask(APP) == b"content"
        minted.clock.advance(FORCED_INTERVAL_SECONDS)


async def test_inventions_take_no_credential_that_cannot_be_renewed(minted: Minted) -> None:
    """It was thrown away first; without it nobody could pull until somebody mints again."""
    minted.is_away = True
    await minted.ask_for_inventions()
    assert await minted.ask(APP) == b"content"


async def test_a_repository_that_nobody_asked_for_yet_has_one_minted(minted: Minted) -> None:
    """The credential may have died since it was used last."""
    minted.end_credential()
    assert await minted.ask("team/new") == b"content"
    assert await minted.ask(APP) == b"content"
    assert minted.mints == 2
