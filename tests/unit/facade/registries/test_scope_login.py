"""The token endpoints of one scope: which is trusted, which is remembered, which is asked again."""

import attrs
import pytest

from facade.registries.renewed import FORCED_INTERVAL_SECONDS, Lasting, Renewed
from facade.registries.scope_login import MAX_ENDPOINTS, ScopeLogin, TokenSlot
from shared.secret import Secret
from shared.upstream.challenge import BearerChallenge
from tests.support.clock import Clock

FIRST = BearerChallenge("https://registry.example/token?account=a", "registry")
TOKEN = Secret("token")


def other(number: int) -> BearerChallenge:
    """Return another endpoint."""
    return attrs.evolve(FIRST, realm=f"https://registry.example/{number}")


@pytest.fixture
def clock() -> Clock:
    """The login's clock."""
    return Clock()


@pytest.fixture
def login(clock: Clock) -> ScopeLogin:
    """Nothing is known."""
    return ScopeLogin(clock)


def make(challenge: BearerChallenge) -> TokenSlot:
    """Return a slot that mints."""

    async def mint() -> Lasting[Secret]:
        return Lasting(TOKEN, None)

    return TokenSlot(challenge, Renewed(mint))


def test_an_endpoint_keeps_its_slot(login: ScopeLogin) -> None:
    """With its token and its refusals; the query is no part of the endpoint's name."""
    slot = login.slot(FIRST, make)
    assert login.slot(other(1), make) is not slot
    assert login.slot(FIRST, make) is slot
    assert login.named == FIRST
    assert slot.challenge.endpoint == "https://registry.example/token"


def test_endpoints_are_bounded_and_the_trusted_one_stays(login: ScopeLogin) -> None:
    """A hostile registry names another one each time."""
    trusted = login.slot(FIRST, make)
    login.trust(trusted)
    for number in range(100):
        login.slot(other(number), make)
    assert len(login.slots) == MAX_ENDPOINTS
    assert login.slots[FIRST] is trusted
    assert login.named == other(99)


def test_an_endpoint_is_trusted_once_it_gave_a_token(login: ScopeLogin) -> None:
    """Unless the registry named another one meanwhile."""
    slow, named = login.slot(FIRST, make), login.slot(other(1), make)
    trusted = [(login.note_token(slow), login.trusted, login.in_doubt)]
    trusted.append((login.note_token(named), login.trusted, login.in_doubt))
    login.doubt()
    trusted.append((False, login.trusted, login.in_doubt))
    login.trust(slow)
    trusted.append((True, login.trusted, login.in_doubt))
    assert trusted == [
        (False, None, False),
        (True, named, False),
        (False, None, True),
        (True, slow, False),
    ]


async def test_another_endpoint_is_asked_once_a_minute(login: ScopeLogin, clock: Clock) -> None:
    """In place of the one whose token was refused; what is at hand may always be shown."""
    trusted, named = login.slot(FIRST, make), login.slot(other(1), make)
    login.trust(trusted)
    assert login.may_replace(named, TOKEN)
    assert not login.may_replace(named, TOKEN)
    assert not login.may_replace(login.slot(other(2), make), TOKEN)
    clock.advance(FORCED_INTERVAL_SECONDS)
    assert login.may_replace(named, TOKEN)
    await named.token.get()
    assert login.may_replace(named, TOKEN)


async def test_the_endpoint_that_gave_a_refused_token_gives_another_if_one_worked(
    login: ScopeLogin,
) -> None:
    """An invented repository's token never works."""
    trusted = login.slot(FIRST, make)
    login.trust(trusted)
    await trusted.token.get()
    assert not login.may_replace(trusted, TOKEN)
    login.worked()
    assert login.may_replace(trusted, TOKEN)
