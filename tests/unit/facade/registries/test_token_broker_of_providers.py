"""Credentials that a provider mints: shown at once, for the whole host, and minted anew seldom."""

import asyncio

import pytest
from attrs import define

from facade.registries.refusals import REFUSAL_SECONDS
from facade.registries.renewed import FORCED_INTERVAL_SECONDS, Lasting, Renewed
from facade.registries.token_broker import TokenBroker
from shared.oci import RepositoryName
from shared.secret import Secret
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.challenge import BasicChallenge, BearerChallenge
from shared.upstream.errors import CredentialRefusedError
from shared.upstream.scope import Scope
from tests.support.clock import Clock

BASIC = BasicChallenge(realm="registry")
BEARER = BearerChallenge(realm="https://registry.example/token", service="registry")
HOUR = 3600.0


def scope(name: str = "team/app") -> Scope:
    """Return the scope of a repository."""
    return Scope.pull(RepositoryName.parse(name))


@define
class Provider:
    """Mints numbered credentials of an hour."""

    minted: int = 0

    async def mint(self) -> Lasting[BasicCredential | None]:
        """Mint one."""
        self.minted += 1
        await asyncio.sleep(0)
        basic = BasicCredential("AWS", Secret(f"credential {self.minted}"))
        return Lasting(basic, HOUR)


async def exchange(
    _challenge: BearerChallenge, _scope: Scope, _basic: BasicCredential | None
) -> Lasting[Secret]:
    """Fail: a provider's credential is for no token endpoint."""
    raise AssertionError("a minted credential was exchanged")


@pytest.fixture
def clock() -> Clock:
    """The broker's clock."""
    return Clock()


@pytest.fixture
def provider() -> Provider:
    """Where credentials are from."""
    return Provider()


@pytest.fixture
def broker(provider: Provider, clock: Clock) -> TokenBroker:
    """The broker of a connection to ECR or Google."""
    return TokenBroker(Renewed(provider.mint, clock), exchange, BASIC, clock=clock)


async def shown_first(broker: TokenBroker) -> Secret:
    """Return what is shown, after it was accepted."""
    shown = await broker.present(scope())
    assert shown is not None
    broker.worked(scope())
    return shown


async def test_a_credential_is_shown_before_any_challenge(
    broker: TokenBroker, provider: Provider
) -> None:
    """These registries are known to take it, for every repository."""
    shown = await shown_first(broker)
    assert await broker.present(scope("another/app")) == shown
    assert provider.minted == 1


async def test_a_hundred_repositories_that_are_refused_mint_one(
    broker: TokenBroker, provider: Provider, clock: Clock
) -> None:
    """ECR's token that has expired: dropped once, then left alone for a minute."""
    old = await shown_first(broker)
    names = [f"team/app{number}" for number in range(100)]
    answers = await asyncio.gather(*(broker.answer((), scope(name), old) for name in names))
    assert [answer.reveal() for answer in answers if answer] == [_basic("credential 2")] * 100
    assert provider.minted == 2
    new = answers[0]
    assert await broker.answer((), scope("another"), new) is None
    assert provider.minted == 2
    broker.worked(scope())
    last = await broker.answer((), scope(), new)  # what others were refused is not counted for it
    assert await broker.answer((), scope(), last) is None
    assert provider.minted == 3
    clock.advance(FORCED_INTERVAL_SECONDS)
    assert await broker.answer((), scope("team/other"), last) is not None
    assert provider.minted == 4


@pytest.mark.parametrize("challenges", [(), (BASIC,), (BEARER,), (BEARER, BASIC)])
async def test_whatever_the_registry_asks_for_the_credential_is_shown(
    broker: TokenBroker,
    provider: Provider,
    challenges: tuple[BearerChallenge | BasicChallenge, ...],
) -> None:
    """Google's name a Bearer challenge with a 401, and take the credential itself."""
    old = await shown_first(broker)
    new = await broker.answer(challenges, scope(), old)
    assert new is not None
    assert new.reveal() == _basic("credential 2")
    assert await broker.present(scope("another/app")) == new
    assert provider.minted == 2


async def test_a_credential_that_never_worked_is_not_minted_anew(
    broker: TokenBroker, provider: Provider
) -> None:
    """A role without rights is no reason to assume it for every pull."""
    shown = await broker.present(scope())
    assert await broker.answer((), scope(), shown) is None
    assert provider.minted == 1


async def test_a_credential_that_the_registry_never_took_is_minted_anew_after_a_while(
    provider: Provider, clock: Clock
) -> None:
    """A session that was ended at the provider is not shown for twelve hours: half a minute."""
    shown: list[bytes] = []

    async def prove(header: Secret) -> bool:
        shown.append(header.reveal())
        if len(shown) == 1:
            raise CredentialRefusedError("no", status=401)
        return True

    broker = TokenBroker(Renewed(provider.mint, clock), exchange, BASIC, prove, clock)
    for _ in range(3):
        with pytest.raises(CredentialRefusedError):
            await broker.present(scope())
    assert shown == [_basic("credential 1")]
    clock.advance(REFUSAL_SECONDS)
    assert await broker.present(scope()) is not None
    assert shown[1:] == [_basic("credential 2")]


def _basic(password: str) -> bytes:
    return BasicCredential("AWS", Secret(password)).authorization().reveal()
