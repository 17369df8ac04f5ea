"""A registry that is away is left alone, and found again without a person."""

import pytest
from attrs import define

from facade.content.held_back import WrongBytesError
from facade.registries.circuit_breaker import (
    FAILURES_TO_OPEN,
    FIRST_WAIT_SECONDS,
    MAX_WAIT_SECONDS,
    CircuitBreaker,
    CircuitOpenError,
)
from shared.upstream.errors import (
    BrokenBodyError,
    ConnectError,
    CredentialRefusedError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    TlsError,
    UpstreamError,
    UpstreamTimeoutError,
)


@define
class Clock:
    """A monotonic clock that stands still until it is told."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def fail(breaker: CircuitBreaker, error: Exception, times: int = 1) -> None:
    """Have requests end with an error."""
    for _ in range(times):
        with pytest.raises(type(error)), breaker.attempt():
            raise error


def succeed(breaker: CircuitBreaker) -> None:
    """Have a request be answered."""
    with breaker.attempt():
        pass


def opened(clock: Clock) -> CircuitBreaker:
    """Return a breaker that has just opened."""
    breaker = CircuitBreaker(clock)
    fail(breaker, ConnectError("down"), FAILURES_TO_OPEN)
    return breaker


@pytest.mark.parametrize(
    "error",
    [ConnectError("x"), TlsError("x"), UpstreamTimeoutError("x"), ServerError(503)],
    ids=lambda error: type(error).__name__,
)
def test_five_failures_in_a_row_open_it(error: UpstreamError) -> None:
    """From then on nothing is asked, and the device is told when to come again."""
    breaker = CircuitBreaker(Clock())
    fail(breaker, error, FAILURES_TO_OPEN - 1)
    assert not breaker.is_open
    fail(breaker, error)
    with pytest.raises(CircuitOpenError) as refused, breaker.attempt():
        pytest.fail("a request was let through an open circuit")
    assert 0 < refused.value.retry_after <= MAX_WAIT_SECONDS


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("x"),
        CredentialRefusedError("x"),
        RateLimitedError(retry_after=None),
        BrokenBodyError("x"),
        WrongBytesError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_answer_is_no_failure(error: Exception) -> None:
    """A registry that refuses, limits or lies is there."""
    breaker = CircuitBreaker(Clock())
    fail(breaker, error, FAILURES_TO_OPEN * 4)
    assert not breaker.is_open


def test_an_answer_between_failures_starts_the_count_anew() -> None:
    """Only failures in a row count."""
    breaker = CircuitBreaker(Clock())
    for _ in range(10):
        fail(breaker, ConnectError("x"), FAILURES_TO_OPEN - 1)
        succeed(breaker)
    assert not breaker.is_open


def test_one_request_at_a_time_tries_whether_it_is_back() -> None:
    """A thousand devices must not be the trial."""
    clock = Clock()
    breaker = opened(clock)
    clock.now += FIRST_WAIT_SECONDS
    with breaker.attempt(), pytest.raises(CircuitOpenError), breaker.attempt():
        pytest.fail("a second trial was let through")
    succeed(breaker)
    assert not breaker.is_open


def test_the_wait_doubles_up_to_its_bound_while_trials_fail() -> None:
    """A registry that stays away is asked ever more seldom, but within half a minute."""
    clock = Clock()
    breaker = opened(clock)
    wait = FIRST_WAIT_SECONDS
    for _ in range(10):
        clock.now += wait
        fail(breaker, ConnectError("still down"))
        wait = min(wait * 2, MAX_WAIT_SECONDS)
        clock.now += wait / 2 - 0.001  # jitter takes at most half of it
        with pytest.raises(CircuitOpenError), breaker.attempt():
            pytest.fail("asked before the wait was over")
        clock.now -= wait / 2 - 0.001
    clock.now += MAX_WAIT_SECONDS
    succeed(breaker)
    assert not breaker.is_open


def test_it_says_beforehand_whether_a_request_may_start() -> None:
    """Whoever would have to pay for it asks first; asking is no trial."""
    clock = Clock()
    CircuitBreaker(clock).require_willing()
    breaker = opened(clock)
    with pytest.raises(CircuitOpenError):
        breaker.require_willing()
    clock.now += FIRST_WAIT_SECONDS
    for _ in range(3):
        breaker.require_willing()
    with breaker.attempt(), pytest.raises(CircuitOpenError):
        breaker.require_willing()
    breaker.require_willing()


def test_a_cancelled_trial_lets_the_next_one_try() -> None:
    """A device that leaves in the middle of the trial must not keep the circuit open for ever."""
    clock = Clock()
    breaker = opened(clock)
    clock.now += FIRST_WAIT_SECONDS
    with pytest.raises(KeyboardInterrupt), breaker.attempt():
        raise KeyboardInterrupt
    succeed(breaker)
    assert not breaker.is_open
