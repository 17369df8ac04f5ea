"""A registry that is away is left alone, and found again without a person; a path is only a path.

How one device's failures are told from everybody's is in `test_failing_paths.py`.
"""

from contextlib import suppress

import pytest

from facade.registries.circuit import FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS, TRIAL_SECONDS
from facade.registries.circuit_breaker import (
    FAILURES_TO_OPEN,
    CircuitBreaker,
    CircuitOpenError,
    Question,
)
from facade.values.piece import WrongBytesError
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.errors import (
    BrokenBodyError,
    ChallengeError,
    ClosedUnansweredError,
    ConnectError,
    CredentialRefusedError,
    NotInRegistryError,
    RateLimitedError,
    ResolveError,
    ServerError,
    Step,
    TlsError,
    UpstreamError,
    UpstreamTimeoutError,
    WastefulAnswerError,
)
from tests.support.clock import Clock
from tests.unit.facade.registries.failures import at_registry, unreached

APP = RepositoryName.parse("team/app")
QUESTION = Question(Kind.BLOB, APP, Digest.of(b"content"), device="one")


def fail(breaker: CircuitBreaker, error: Exception, times: int = 1) -> None:
    """Have requests of one device for one digest end with an error."""
    for _ in range(times):
        with pytest.raises(type(error)), breaker.attempt(QUESTION):
            raise error


def succeed(breaker: CircuitBreaker) -> None:
    """Have a request be answered."""
    with breaker.attempt(QUESTION):
        pass


def probe(breaker: CircuitBreaker, error: UpstreamError | None = None) -> None:
    """Have `GET /v2/` end."""
    with suppress(*[type(error)] if error else []), breaker.probe():
        if error is not None:
            raise error


def opened(clock: Clock) -> CircuitBreaker:
    """Return a breaker that has just opened."""
    breaker = CircuitBreaker(clock)
    fail(breaker, unreached(), FAILURES_TO_OPEN)
    return breaker


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("x"),
        ResolveError("x"),
        TlsError("x"),
        UpstreamTimeoutError("x", step=Step.CONNECT),
        UpstreamTimeoutError("x", step=Step.RESOLVE),
    ],
    ids=lambda error: f"{type(error).__name__}-{error.step}",
)
def test_five_connections_in_a_row_that_fail_open_it(error: UpstreamError) -> None:
    """From then on nothing is asked, whoever asks for what, and devices are told when to come."""
    breaker = CircuitBreaker(Clock())
    fail(breaker, at_registry(error), FAILURES_TO_OPEN - 1)
    assert not breaker.is_open
    fail(breaker, error)
    other = Question(Kind.MANIFEST, APP, Digest.of(b"other"), device="two")
    with pytest.raises(CircuitOpenError) as refused, breaker.attempt(other):
        pytest.fail("a request was let through an open circuit")
    assert 0 < refused.value.retry_after <= MAX_WAIT_SECONDS
    with pytest.raises(CircuitOpenError):
        breaker.require_willing(other)


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("its store, or its token endpoint"),
        TlsError("its store, or its token endpoint"),
        at_registry(ClosedUnansweredError("at this path")),
        at_registry(UpstreamTimeoutError("at this path")),
        at_registry(ServerError(503)),
        at_registry(WastefulAnswerError("x")),
        at_registry(NotInRegistryError("x")),
        at_registry(CredentialRefusedError("x")),
        at_registry(RateLimitedError(retry_after=None)),
        BrokenBodyError("x"),
        WrongBytesError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_be_one_paths_matter_does_not_open_it(error: Exception) -> None:
    """However often it fails: nobody else asked."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    for _ in range(FAILURES_TO_OPEN * 4):
        fail(breaker, error)
        clock.advance(MAX_WAIT_SECONDS)
    assert not breaker.is_open


@pytest.mark.parametrize("answer", [None, at_registry(ServerError(500))])
def test_an_answer_between_failures_starts_the_count_anew(answer: UpstreamError | None) -> None:
    """Only failures in a row count; a 500 is an answer, too."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    for _ in range(10):
        fail(breaker, unreached(), FAILURES_TO_OPEN - 1)
        if answer is None:
            succeed(breaker)
        else:
            fail(breaker, answer)
        clock.advance(MAX_WAIT_SECONDS)
    assert not breaker.is_open


@pytest.mark.parametrize(
    "answer",
    [
        None,
        at_registry(ServerError(503)),
        at_registry(NotInRegistryError("x")),
        at_registry(RateLimitedError(retry_after=None)),
        ChallengeError("it asks for a login that nobody understands"),
        ConnectError("where it redirects to"),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_any_answer_to_a_probe_closes_it(answer: UpstreamError | None) -> None:
    """The facade asks `GET /v2/`: no device chooses what is asked."""
    clock = Clock()
    breaker = opened(clock)
    clock.advance(FIRST_WAIT_SECONDS)
    probe(breaker, answer)
    assert not breaker.is_open
    assert not breaker.needs_probe
    succeed(breaker)


@pytest.mark.parametrize(
    "error",
    [
        unreached(),
        at_registry(UpstreamTimeoutError("silence")),
        at_registry(ClosedUnansweredError("x")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_wait_doubles_up_to_its_bound_while_probes_fail(error: UpstreamError) -> None:
    """A registry that stays away is asked ever more seldom, but within half a minute."""
    clock = Clock()
    breaker = opened(clock)
    wait = FIRST_WAIT_SECONDS
    for _ in range(10):
        clock.advance(wait)
        probe(breaker, error)
        wait = min(wait * 2, MAX_WAIT_SECONDS)
        clock.advance(wait / 2 - 0.001)  # jitter takes at most half of it
        with pytest.raises(CircuitOpenError), breaker.probe():
            pytest.fail("asked before the wait was over")
        clock.advance(-wait / 2 + 0.001)
    clock.advance(MAX_WAIT_SECONDS)
    probe(breaker)
    assert not breaker.is_open


def test_one_probe_at_a_time_and_another_one_beside_a_slow_one() -> None:
    """A thousand devices must not be the trial; nor does one that is never answered end them."""
    clock = Clock()
    breaker = opened(clock)
    clock.advance(FIRST_WAIT_SECONDS)
    with breaker.probe():
        with pytest.raises(CircuitOpenError), breaker.probe():
            pytest.fail("a second one was let through")
        with pytest.raises(CircuitOpenError):
            breaker.require_willing(QUESTION)
        clock.advance(TRIAL_SECONDS)
        probe(breaker, at_registry(UpstreamTimeoutError("silence")))
        assert breaker.is_open
    assert not breaker.is_open


def test_it_says_beforehand_whether_a_request_may_start() -> None:
    """Whoever would have to pay for it asks first; asking is no trial."""
    clock = Clock()
    CircuitBreaker(clock).require_willing(QUESTION)
    breaker = opened(clock)
    with pytest.raises(CircuitOpenError):
        breaker.require_willing(QUESTION)
    clock.advance(FIRST_WAIT_SECONDS)
    for _ in range(3):
        breaker.require_willing(QUESTION)
    with breaker.probe(), pytest.raises(CircuitOpenError):
        breaker.require_willing(QUESTION)
    breaker.require_willing(QUESTION)


def test_a_cancelled_probe_lets_the_next_one_try() -> None:
    """A device that leaves in the middle of it must not keep the circuit open for ever."""
    clock = Clock()
    breaker = opened(clock)
    clock.advance(FIRST_WAIT_SECONDS)
    with pytest.raises(KeyboardInterrupt), breaker.probe():
        raise KeyboardInterrupt
    probe(breaker)
    assert not breaker.is_open


def test_what_was_asked_before_it_opened_closes_it_if_it_is_answered() -> None:
    """The registry can be reached then."""
    breaker = CircuitBreaker(Clock())
    with breaker.attempt(QUESTION):
        fail(breaker, unreached(), FAILURES_TO_OPEN)
        assert breaker.is_open
    assert not breaker.is_open
