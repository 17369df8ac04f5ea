"""A refusal is remembered for a while, and never for long."""

import traceback

import pytest

from facade.registries.refusals import (
    MAX_REFUSALS,
    NONSENSE_SECONDS,
    REFUSAL_SECONDS,
    TROUBLE_SECONDS,
    Refusals,
    UpstreamRefusal,
)
from shared.upstream.errors import (
    ChallengeError,
    ConnectError,
    CredentialRefusedError,
    EgressRefusedError,
    NotNowError,
    PolicyDeniedError,
    RateLimitedError,
    RealmNotAllowedError,
    RedirectRefusedError,
    ResolveError,
    ServerError,
    TlsError,
    TokenExchangeError,
    UnexpectedAnswerError,
    UpstreamTimeoutError,
)
from shared.upstream.retry_after import MAX_RETRY_AFTER_SECONDS
from tests.support.clock import Clock

REFUSED = CredentialRefusedError("refused", status=401)


@pytest.fixture
def clock() -> Clock:
    """The refusals' clock."""
    return Clock()


@pytest.fixture
def refusals(clock: Clock) -> Refusals[str]:
    """No refusals yet."""
    return Refusals(clock)


def test_what_was_not_refused_may_be_asked(refusals: Refusals[str]) -> None:
    """Each key for itself."""
    refusals.remember("one", REFUSED)
    refusals.require_none("other")
    assert not refusals.holds("other")


def test_a_refusal_holds_for_some_half_a_minute(refusals: Refusals[str], clock: Clock) -> None:
    """Never shorter than half of it, never longer: so that all come back at different moments."""
    refusals.remember("one", REFUSED)
    clock.advance(REFUSAL_SECONDS / 2 - 0.001)
    with pytest.raises(CredentialRefusedError) as raised:
        refusals.require_none("one")
    assert raised.value.status == 401
    clock.advance(REFUSAL_SECONDS / 2 + 0.001)
    refusals.require_none("one")


def test_the_delay_is_jittered(clock: Clock) -> None:
    """A fleet's facades do not come back together."""
    until = set()
    for _ in range(20):
        refusals = Refusals[str](clock)
        refusals.remember("one", REFUSED)
        moment = clock.now
        while refusals.holds("one"):
            clock.advance(0.01)
        until.add(round(clock.now - moment, 2))
    assert len(until) > 1


@pytest.mark.parametrize(
    "refusal",
    [RateLimitedError(retry_after=7.0), ServerError(503, retry_after=7.0)],
    ids=["429", "503"],
)
def test_a_delay_that_was_asked_for_is_kept(
    refusals: Refusals[str], clock: Clock, refusal: UpstreamRefusal
) -> None:
    """Neither shorter nor longer."""
    refusals.remember("one", refusal)
    clock.advance(6.99)
    assert refusals.holds("one")
    clock.advance(0.01)
    assert not refusals.holds("one")


def test_a_limit_without_a_delay_holds_as_a_refusal_does(
    refusals: Refusals[str], clock: Clock
) -> None:
    """Some registries name none."""
    refusals.remember("one", RateLimitedError(retry_after=None))
    clock.advance(REFUSAL_SECONDS / 2 - 0.001)
    assert refusals.holds("one")
    clock.advance(REFUSAL_SECONDS)
    assert not refusals.holds("one")


@pytest.mark.parametrize(
    "refusal",
    [TokenExchangeError("no token", status=200), UnexpectedAnswerError("no HTTP")],
    ids=lambda refusal: type(refusal).__name__,
)
def test_nonsense_is_remembered_for_a_shorter_time(
    refusals: Refusals[str], clock: Clock, refusal: UpstreamRefusal
) -> None:
    """What restarts answers sensibly soon; no account is locked by it."""
    refusals.remember("one", refusal)
    clock.advance(NONSENSE_SECONDS / 2 - 0.001)
    with pytest.raises(type(refusal)):
        refusals.require_none("one")
    clock.advance(NONSENSE_SECONDS / 2 + 0.001)
    assert not refusals.holds("one")


@pytest.mark.parametrize(
    "refusal, seconds",
    [
        (PolicyDeniedError(412), REFUSAL_SECONDS),
        (RealmNotAllowedError("https://evil.example/"), NONSENSE_SECONDS),
        (RedirectRefusedError("too many"), NONSENSE_SECONDS),
        (ChallengeError("malformed"), NONSENSE_SECONDS),
        (EgressRefusedError("inside"), NONSENSE_SECONDS),
        (NotNowError(408), TROUBLE_SECONDS),
        (ServerError(503), TROUBLE_SECONDS),
        (ConnectError("away"), TROUBLE_SECONDS),
        (ResolveError("no name"), TROUBLE_SECONDS),
        (TlsError("expired"), TROUBLE_SECONDS),
        (UpstreamTimeoutError("silent"), TROUBLE_SECONDS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_failure_is_remembered_for_the_time_of_its_kind(
    refusals: Refusals[str], clock: Clock, refusal: UpstreamRefusal, seconds: float
) -> None:
    """From half of it on, until the whole of it."""
    refusals.remember("one", refusal)
    clock.advance(seconds / 2 - 0.001)
    assert refusals.holds("one")
    clock.advance(seconds / 2 + 0.001)
    assert not refusals.holds("one")


def test_what_is_remembered_elsewhere_is_not_prolonged(
    refusals: Refusals[str], clock: Clock
) -> None:
    """However late it is passed on."""
    refusals.remember("password", REFUSED)
    clock.advance(REFUSAL_SECONDS / 2 - 0.001)
    remembered = refusals.of("password")
    assert remembered is not None
    refusals.keep("token", remembered)
    clock.now = remembered.until - 0.001
    assert refusals.holds("token")
    clock.now = remembered.until
    assert not refusals.holds("token")


def test_what_was_found_otherwise_is_forgotten(refusals: Refusals[str]) -> None:
    """At once."""
    refusals.remember("one", REFUSED)
    refusals.remember("other", REFUSED)
    assert refusals.count == 2
    refusals.forget("one")
    refusals.forget("one")
    refusals.require_none("one")
    assert refusals.count == 1


def test_the_longest_delay_is_a_minute(refusals: Refusals[str], clock: Clock) -> None:
    """A registry does not silence us: what is parsed is bounded before."""
    refusals.remember("one", RateLimitedError(retry_after=MAX_RETRY_AFTER_SECONDS))
    clock.advance(60)
    assert not refusals.holds("one")


def test_the_oldest_is_forgotten(refusals: Refusals[str]) -> None:
    """Invented repositories do not fill the memory."""
    for number in range(MAX_REFUSALS + 1):
        refusals.remember(str(number), REFUSED)
    assert not refusals.holds("0")
    assert refusals.holds("1")
    assert refusals.holds(str(MAX_REFUSALS))


def test_a_remembered_refusal_does_not_grow(refusals: Refusals[str]) -> None:
    """It is raised for every device, and each time its traceback would get longer."""
    refusals.remember("one", REFUSED)
    lengths = []
    for _ in range(3):
        with pytest.raises(CredentialRefusedError) as raised:
            refusals.require_none("one")
        lengths.append(len(traceback.extract_tb(raised.value.__traceback__)))
        assert raised.value.__context__ is None
    assert len(set(lengths)) == 1
