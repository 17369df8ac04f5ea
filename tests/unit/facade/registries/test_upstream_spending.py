"""What a device spends at a registry is counted as it is spent, and earned again with time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.registries.device_allowance import (
    MAX_WAIT_SECONDS,
    SPENDING_SECONDS,
    CostLimits,
    DeviceAllowances,
    TooCostlyError,
    TooManyBytesError,
    TooManyTokensError,
    TooManyUpstreamRequestsError,
)
from facade.registries.upstream_spending import (
    COUNTED_BYTES,
    SECONDS_OF_A_MINUTE,
    SECONDS_OF_AN_HOUR,
    SpendingLimits,
    UpstreamSpending,
)
from tests.support.clock import Clock

REQUESTS, TOKENS, BYTES = 60, 30, 3600 * COUNTED_BYTES
SPENDING = SpendingLimits(REQUESTS, TOKENS, BYTES)
KEY, OTHER_KEY = "a" * 64, "b" * 64


@pytest.fixture
def clock() -> Clock:
    """The allowances' clock."""
    return Clock()


@pytest.fixture
def allowances(clock: Clock) -> DeviceAllowances:
    """Nothing spent yet; misses and downloads have no limit."""
    return DeviceAllowances(CostLimits(0, 0), clock, spending_limits=SPENDING)


def spend(account: UpstreamSpending, what: type[TooCostlyError], times: int) -> None:
    """Spend something so many times."""
    for _ in range(times):
        if what is TooManyUpstreamRequestsError:
            account.spend_request()
        elif what is TooManyTokensError:
            account.spend_token()
        else:
            account.spend_bytes(BYTES // 60)


@pytest.mark.parametrize(
    "what,at_once,seconds_of_one",
    [
        (TooManyUpstreamRequestsError, REQUESTS, SECONDS_OF_A_MINUTE / REQUESTS),
        (TooManyTokensError, TOKENS, SECONDS_OF_A_MINUTE / TOKENS),
        (TooManyBytesError, 60, SECONDS_OF_AN_HOUR / 60),
    ],
)
def test_what_is_used_up_is_refused_until_it_is_earned(
    allowances: DeviceAllowances,
    clock: Clock,
    what: type[TooCostlyError],
    at_once: int,
    seconds_of_one: float,
) -> None:
    """A minute's worth, or an hour's, may be spent at once; the device is told when to come."""
    spend(allowances.spending("device", KEY), what, at_once - 1)
    assert allowances.take_miss("device", KEY) == 0
    owed = 10 * seconds_of_one
    spend(allowances.spending("device", KEY), what, 11)
    with pytest.raises(what) as refused:
        allowances.take_miss("device", KEY)
    assert owed <= refused.value.retry_after <= owed + seconds_of_one + 1
    clock.advance(owed)
    assert allowances.take_miss("device", KEY) <= MAX_WAIT_SECONDS
    clock.advance(seconds_of_one)
    assert allowances.take_miss("device", KEY) == 0


def test_others_and_other_registries_are_counted_apart(allowances: DeviceAllowances) -> None:
    """A registry that has itself asked again and again uses up nothing of another's."""
    spend(allowances.spending("device", KEY), TooManyUpstreamRequestsError, 2 * REQUESTS)
    with pytest.raises(TooManyUpstreamRequestsError):
        allowances.take_miss("device", KEY)
    assert allowances.take_miss("device", OTHER_KEY) == 0
    assert allowances.take_miss("other", KEY) == 0


def test_zero_is_no_limit(clock: Clock) -> None:
    """Each by itself."""
    allowances = DeviceAllowances(CostLimits(0, 0), clock)
    account = allowances.spending("device", KEY)
    for what in (TooManyUpstreamRequestsError, TooManyTokensError, TooManyBytesError):
        spend(account, what, 1000)
    assert allowances.take_miss("device", KEY) == 0


def test_who_asks_on_is_not_forgotten_and_who_is_silent_is(
    allowances: DeviceAllowances, clock: Clock
) -> None:
    """However long it takes to earn what is owed."""
    spend(allowances.spending("device", KEY), TooManyBytesError, 60 * 24)
    for _ in range(4):
        clock.advance(SPENDING_SECONDS - 1)
        with pytest.raises(TooManyBytesError):
            allowances.take_miss("device", KEY)
    clock.advance(SPENDING_SECONDS + 1)
    assert allowances.take_miss("device", KEY) == 0


@given(counts=st.lists(st.integers(0, 3 * COUNTED_BYTES), max_size=20))
def test_no_byte_is_lost_between_counts(counts: list[int]) -> None:
    """They are counted together, and all of them when it is asked what is owed."""
    account = UpstreamSpending.within(SpendingLimits(bytes_per_hour=1), Clock())
    for count in counts:
        account.spend_bytes(count)
    total = sum(counts)
    expected = total * SECONDS_OF_AN_HOUR if total else 0.0
    assert account.owed().seconds == pytest.approx(expected)
