"""One mint for whoever asks, and a refused password is left alone.

How long a value is kept is `test_renewed.py`'s matter; here it is whose value it is.
"""

import asyncio
import gc
import time
from typing import Any

import attrs
import pytest
from attrs import define, field

from facade.registries.host_credential import Credentials
from facade.registries.refusals import REFUSAL_SECONDS
from facade.registries.renewed import FORCED_INTERVAL_SECONDS, Lasting, Renewed
from facade.registries.scope_login import LOGIN_BYTES
from facade.registries.token_broker import MAX_LOGIN_BYTES, TokenBroker
from shared.oci import RepositoryName
from shared.secret import Secret
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.challenge import BasicChallenge, BearerChallenge, Challenge, OtherChallenge
from shared.upstream.errors import (
    ChallengeError,
    CredentialRefusedError,
    RateLimitedError,
    ServerError,
    Step,
    UpstreamError,
)
from shared.upstream.scope import Scope
from shared.upstream.token_exchange import MAX_TOKEN_BYTES
from tests.support.clock import Clock
from tests.support.leftovers import leftovers

BEARER = BearerChallenge("https://registry.example/token", "registry", "repository:other:pull")
BASIC = BasicChallenge("registry")
APP = Scope.pull(RepositoryName("team/app"))
OTHER = Scope.pull(RepositoryName("team/other"))
ROBOT = BasicCredential("robot", Secret("canary-password"))
WRONG_PASSWORD = CredentialRefusedError("no", status=401, step=Step.EXCHANGE)
WRONG_SCOPE = CredentialRefusedError("no", status=403, step=Step.EXCHANGE)


@define
class TokenEndpoint:
    """Mints as it is told, once `gate` is open; every mint gives another token."""

    lifetime: float | None = 300.0
    token: str = "token"
    fails: UpstreamError | None = None
    gate: asyncio.Event = field(factory=asyncio.Event)
    asked: list[tuple[BearerChallenge, Scope]] = field(factory=list)
    shown: list[BasicCredential | None] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        """Open the gate."""
        self.gate.set()

    async def exchange(
        self, challenge: BearerChallenge, scope: Scope, credential: BasicCredential | None
    ) -> Lasting[Secret]:
        """Answer the broker."""
        self.asked.append((challenge, scope))
        self.shown.append(credential)
        number = len(self.asked)
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        return Lasting(Secret(f"{self.token} {number}"), self.lifetime)


@define
class Registry:
    """What `prove` shows a Basic credential to."""

    is_wrong: bool = False
    can_tell: bool = True  # whether a right one is a right one
    shown: int = 0

    async def prove(self, _: Secret) -> bool:
        """Take the credential, or refuse it."""
        self.shown += 1
        await asyncio.sleep(0)
        if self.is_wrong:
            raise CredentialRefusedError("no", status=401)
        return self.can_tell


@pytest.fixture
def clock() -> Clock:
    """The broker's clock."""
    return Clock()


@pytest.fixture
def endpoint() -> TokenEndpoint:
    """Who mints."""
    return TokenEndpoint()


@pytest.fixture
def registry() -> Registry:
    """Who takes passwords."""
    return Registry()


@pytest.fixture
def broker(endpoint: TokenEndpoint, registry: Registry, clock: Clock) -> TokenBroker:
    """A broker that knows nothing yet."""
    return TokenBroker(
        credentials_of(ROBOT, clock), endpoint.exchange, prove=registry.prove, clock=clock
    )


def credentials_of(credential: BasicCredential | None, clock: Clock) -> Credentials:
    """Return a stored credential."""

    async def renew() -> Lasting[BasicCredential | None]:
        return Lasting(credential, None)

    return Renewed(renew, clock)


async def first(broker: TokenBroker, scope: Scope = APP, *challenges: Challenge) -> str:
    """Return what answers a first refusal."""
    return revealed(await broker.answer(challenges or (BEARER,), scope, None))


def revealed(header: Secret | None) -> str:
    """Return the text of a value that is there."""
    assert header is not None
    return header.reveal_text()


async def settle() -> None:
    """Let what was started in the background run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_hundred_first_pulls_mint_one_token(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """A fleet that starts together asks the token endpoint once."""
    endpoint.gate.clear()
    pulls = [asyncio.create_task(first(broker)) for _ in range(100)]
    await settle()
    endpoint.gate.set()
    assert set(await asyncio.gather(*pulls)) == {"token 1"}
    assert len(endpoint.asked) == 1


async def test_ten_thousand_warm_pulls_mint_none(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """The value in hand is presented before anybody is challenged."""
    await first(broker)
    for _ in range(10_000):
        assert revealed(await broker.present(APP)) == "token 1"
    assert len(endpoint.asked) == 1


async def test_nothing_is_presented_before_the_first_challenge(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """Where a token would have to come from is the registry's to say."""
    assert await broker.present(APP) is None
    assert await broker.answer((), APP, None) is None
    assert endpoint.asked == []


async def test_our_own_scope_is_asked_for_and_never_the_challenge_s(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """A registry does not choose what its token is good for."""
    await first(broker)
    assert endpoint.asked == [(attrs.evolve(BEARER, scope=None), APP)]
    assert endpoint.shown == [ROBOT]


async def test_another_repository_realm_or_service_is_another_token(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """None of them may be shown the others'."""
    values = [
        await first(broker),
        await first(broker, OTHER),
        await first(broker, APP, attrs.evolve(BEARER, realm="https://registry.example/other")),
        await first(broker, APP, attrs.evolve(BEARER, service="other")),
    ]
    assert len(set(values)) == len(values) == len(endpoint.asked)


async def test_a_challenge_that_cannot_be_answered_is_an_error(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """It is the registry's, not a reason to go on without a login."""
    with pytest.raises(ChallengeError):
        await broker.answer((OtherChallenge("negotiate"),), APP, None)
    assert endpoint.asked == []


async def test_bearer_is_preferred_to_basic(broker: TokenBroker, registry: Registry) -> None:
    """A token for one repository is less to lose than the password."""
    assert await first(broker, APP, BASIC, BEARER) == "token 1"
    assert registry.shown == 0


async def test_the_one_that_started_a_mint_may_leave(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """A device that hangs up takes nobody else's token away."""
    endpoint.gate.clear()
    leaving, staying = (asyncio.create_task(first(broker)) for _ in range(2))
    await settle()
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    endpoint.gate.set()
    assert await staying == "token 1"
    assert len(endpoint.asked) == 1


async def test_a_mint_that_all_left_is_still_worth_its_token(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """The next pull finds it."""
    endpoint.gate.clear()
    leaving = asyncio.create_task(first(broker))
    await settle()
    leaving.cancel()
    await asyncio.wait([leaving])
    endpoint.gate.set()
    await settle()
    assert revealed(await broker.present(APP)) == "token 1"
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("error", [ServerError(503), WRONG_PASSWORD], ids=["away", "refused"])
async def test_a_failed_mint_that_all_left_is_not_lost_in_a_warning(
    broker: TokenBroker, endpoint: TokenEndpoint, error: UpstreamError
) -> None:
    """`Task exception was never retrieved` would fill the log with tracebacks."""
    lost: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    endpoint.gate.clear()
    endpoint.fails = error
    leaving = asyncio.create_task(first(broker))
    await settle()
    leaving.cancel()
    await asyncio.wait([leaving])
    endpoint.gate.set()
    await settle()
    gc.collect()
    assert lost == []


def test_times_are_counted_on_a_monotonic_clock() -> None:
    """So that a clock that is set changes nothing."""
    defaults = {attribute.name: attribute.default for attribute in attrs.fields(TokenBroker)}
    assert defaults["_clock"] is time.monotonic


async def test_a_refused_password_is_refused_for_every_repository(
    broker: TokenBroker, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """A pull a second of ten repositories for ten minutes asks twice a minute."""
    endpoint.fails = WRONG_PASSWORD
    for second in range(600):
        clock.now += 1
        scope = Scope.pull(RepositoryName(f"team/{second % 10}"))
        with pytest.raises(CredentialRefusedError):
            await first(broker, scope)
    assert 600 / REFUSAL_SECONDS - 1 <= len(endpoint.asked) <= 1 + 600 / (REFUSAL_SECONDS / 2)


async def test_a_refused_scope_is_nobody_else_s(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """403 is about the repository: the others go on."""
    endpoint.fails = WRONG_SCOPE
    for _ in range(10):
        with pytest.raises(CredentialRefusedError):
            await first(broker)
    assert len(endpoint.asked) == 1
    endpoint.fails = None
    assert await first(broker, OTHER) == "token 2"


async def test_an_anonymous_refusal_is_about_the_repository(
    endpoint: TokenEndpoint, clock: Clock
) -> None:
    """GHCR's token endpoint says 401 for one that is private: there is no password to doubt."""
    broker = TokenBroker(credentials_of(None, clock), endpoint.exchange, clock=clock)
    endpoint.fails = WRONG_PASSWORD
    with pytest.raises(CredentialRefusedError):
        await first(broker)
    endpoint.fails = None
    assert await first(broker, OTHER) == "token 2"
    assert endpoint.shown == [None, None]


async def test_an_anonymous_connection_has_nothing_for_basic(
    endpoint: TokenEndpoint, clock: Clock
) -> None:
    """It is told so, and nothing is invented."""
    broker = TokenBroker(credentials_of(None, clock), endpoint.exchange, clock=clock)
    with pytest.raises(CredentialRefusedError):
        await first(broker, APP, BASIC)


async def test_a_rate_limit_is_waited_for_as_long_as_it_asks(
    broker: TokenBroker, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """`Retry-After` is honoured, for every asker of the scope."""
    endpoint.fails = RateLimitedError(retry_after=7.0)
    for seconds, asked in ((0.0, 1), (6.9, 1), (7.1, 2)):
        clock.now = 1000 + seconds
        with pytest.raises(RateLimitedError):
            await first(broker)
        assert len(endpoint.asked) == asked


async def test_trouble_is_not_remembered_as_a_refusal(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """The next pull tries again: the circuit breaker counts these."""
    endpoint.fails = ServerError(503)
    for asked in (1, 2):
        with pytest.raises(ServerError):
            await first(broker)
        assert len(endpoint.asked) == asked
    endpoint.fails = None
    assert await first(broker) == "token 3"


async def test_after_a_refused_token_that_worked_one_new_is_minted_a_minute(
    broker: TokenBroker, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """A token may be revoked; a registry that refuses all of them gets no more than that."""
    token = Secret(await first(broker))
    broker.worked(APP)
    renewed = await broker.answer((BEARER,), APP, token)
    assert revealed(renewed) == "token 2"
    minted = len(endpoint.asked)
    for _ in range(50):
        clock.now += FORCED_INTERVAL_SECONDS / 100
        try:
            sent = await broker.present(APP)
            await broker.answer((BEARER,), APP, sent)
        except CredentialRefusedError:
            continue
    assert len(endpoint.asked) == minted


async def test_a_token_that_never_worked_is_not_minted_anew(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """Harbor answers 401 for what does not exist: invented repositories mint one token each."""
    token = Secret(await first(broker))
    for _ in range(20):
        try:
            assert await broker.answer((BEARER,), APP, token) is None
            token = Secret(await first(broker))
        except CredentialRefusedError:
            continue
    assert len(endpoint.asked) == 1
    assert await first(broker, OTHER) == "token 2"


async def test_a_hundred_refusals_of_one_token_mint_one_new(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """The token died for all pulls at once."""
    token = Secret(await first(broker))
    broker.worked(APP)
    answers = await asyncio.gather(*(broker.answer((BEARER,), APP, token) for _ in range(100)))
    assert {revealed(answer) for answer in answers} == {"token 2"}
    assert len(endpoint.asked) == 2


async def test_a_refusal_of_an_older_token_drops_nothing(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """A slow request may come back with a token that was renewed meanwhile."""
    token = Secret(await first(broker))
    broker.worked(APP)
    await broker.answer((BEARER,), APP, token)
    assert revealed(await broker.answer((BEARER,), APP, token)) == "token 2"
    assert len(endpoint.asked) == 2


async def test_a_refusal_without_a_challenge_mints_anew_too(broker: TokenBroker) -> None:
    """Docker Hub's 401 was seen without one, and ECR's 403 for an expired token has none."""
    token = Secret(await first(broker))
    broker.worked(APP)
    assert revealed(await broker.answer((), APP, token)) == "token 2"


async def test_a_password_is_proven_once_before_all_show_it(
    broker: TokenBroker, registry: Registry
) -> None:
    """A hundred at once with a wrong one would lock the account."""
    registry.is_wrong = True
    answers = await asyncio.gather(
        *(broker.answer((BASIC,), APP, None) for _ in range(100)), return_exceptions=True
    )
    assert all(isinstance(answer, CredentialRefusedError) for answer in answers)
    assert registry.shown == 1


async def test_a_proven_password_is_refused_for_the_repository_alone(
    broker: TokenBroker, registry: Registry
) -> None:
    """Harbor answers 401 for what does not exist: one device's inventions refused everybody."""
    shown = await broker.answer((BASIC,), APP, None)
    for number in range(50):
        invented = Scope.pull(RepositoryName(f"invented/{number}"))
        sent = await broker.present(invented)
        assert sent == shown
        assert await broker.answer((BASIC,), invented, sent) is None
        assert await broker.present(OTHER) == shown
    assert registry.shown == 1


async def test_a_password_that_could_not_be_proven_is_refused_for_all(
    broker: TokenBroker, registry: Registry
) -> None:
    """It may be wrong: a registry that is open at `/v2/` says nothing of it there."""
    registry.can_tell = False
    shown = await broker.answer((BASIC,), APP, None)
    assert await broker.answer((BASIC,), APP, shown) is None
    with pytest.raises(CredentialRefusedError):
        await broker.answer((BASIC,), OTHER, None)


async def test_a_wrong_password_is_shown_to_the_registry_seldom(
    broker: TokenBroker, registry: Registry, clock: Clock
) -> None:
    """For as long as it stays wrong: a pull a second for ten minutes tries it twice a minute."""
    registry.is_wrong = True
    shown = 0
    for second in range(600):
        clock.now += 1
        scope = Scope.pull(RepositoryName(f"team/{second % 10}"))
        try:
            sent = await broker.present(scope)
            shown += sent is not None
            shown += await broker.answer((BASIC,), scope, sent) is not None
        except CredentialRefusedError:
            continue
    assert shown == 0  # no pull shows what the registry did not take once
    assert registry.shown <= 1 + 600 / (REFUSAL_SECONDS / 2)


async def test_a_password_that_is_refused_later_is_shown_seldom(
    broker: TokenBroker, clock: Clock
) -> None:
    """It worked, and was changed at the registry: the same bound holds."""
    await first(broker, APP, BASIC)
    broker.worked(APP)
    shown = 0
    for _ in range(600):
        clock.now += 1
        try:
            sent = await broker.present(APP)
            shown += sent is not None
            shown += await broker.answer((BASIC,), APP, sent) is not None
        except CredentialRefusedError:
            continue
    assert shown <= 2 + 600 / (REFUSAL_SECONDS / 2)


async def test_a_registry_that_names_another_endpoint_with_each_refusal_makes_no_storm(
    broker: TokenBroker, endpoint: TokenEndpoint, clock: Clock
) -> None:
    """A forced mint a minute, whatever the key is: a hostile one invents realms."""
    token: Secret | None = Secret(await first(broker))
    broker.worked(APP)
    minted = len(endpoint.asked)
    for number in range(600):
        clock.now += 1
        realm = attrs.evolve(BEARER, realm=f"https://registry.example/token?{number}")
        try:
            token = await broker.present(APP)
            await broker.answer((realm,), APP, token)
        except CredentialRefusedError:
            continue
        finally:
            broker.ended(APP, is_open=False)
    assert len(endpoint.asked) - minted <= 1 + 600 / FORCED_INTERVAL_SECONDS


async def test_the_number_of_tokens_is_bounded(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """The least used repository goes; what is in use stays."""
    await first(broker)
    for number in range(MAX_LOGIN_BYTES // LOGIN_BYTES + 100):
        await first(broker, Scope.pull(RepositoryName(f"team/{number}")))
        if number % 1000 == 0:
            await first(broker)
    asked = len(endpoint.asked)
    await first(broker)
    assert len(endpoint.asked) == asked
    await first(broker, Scope.pull(RepositoryName("team/1")))
    assert len(endpoint.asked) == asked + 1


@pytest.mark.parametrize("is_of", ["token", "challenge"])
async def test_the_bytes_of_tokens_and_challenges_are_bounded(
    broker: TokenBroker, endpoint: TokenEndpoint, is_of: str
) -> None:
    """4,096 of 70 KB were 280 MiB of one connection."""
    long = "x" * MAX_TOKEN_BYTES
    challenge = BEARER
    if is_of == "token":
        endpoint.token = long
    else:
        challenge = attrs.evolve(BEARER, realm=f"https://registry.example/token?{long}")
    repositories = 2 * MAX_LOGIN_BYTES // MAX_TOKEN_BYTES
    for number in range(repositories):
        await first(broker, Scope.pull(RepositoryName(f"team/{number}")), challenge)
    assert MAX_LOGIN_BYTES / 2 < broker._logins.size <= MAX_LOGIN_BYTES  # noqa: SLF001 - the bound
    asked = len(endpoint.asked)
    await first(broker, Scope.pull(RepositoryName(f"team/{repositories - 1}")), challenge)
    assert len(endpoint.asked) == asked
    await first(broker, Scope.pull(RepositoryName("team/0")), challenge)
    assert len(endpoint.asked) == asked + 1


async def test_what_is_forgotten_is_gone_before_garbage_is_collected(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """Tokens of 16 KiB took 29 MiB, of which 8 were remembered: the others waited in circles."""
    endpoint.token = "x" * MAX_TOKEN_BYTES
    with leftovers() as left:
        for number in range(2 * MAX_LOGIN_BYTES // MAX_TOKEN_BYTES):
            await first(broker, Scope.pull(RepositoryName(f"team/{number}")))
    assert {"TokenSlot", "ScopeLogin", "Renewed"} & set(left.objects) == set()


async def test_closing_ends_what_is_being_minted(
    broker: TokenBroker, endpoint: TokenEndpoint
) -> None:
    """A connection that was revoked asks for nothing more."""
    endpoint.gate.clear()
    asking = asyncio.create_task(first(broker))
    await settle()
    broker.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_broker_prints_no_secret(broker: TokenBroker) -> None:
    """Nor do the values that it holds."""
    await first(broker)
    await first(broker, OTHER, BASIC)
    for secret in ("token 1", "canary-password", ROBOT.authorization().reveal_text()):
        assert secret not in repr(broker)
