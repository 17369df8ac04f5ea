"""So much at once, so much a second, and whoever takes more waits as long as it takes to earn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.pace import Pace
from tests.support.clock import Clock

RATE, BURST = 8.0, 16.0  # powers of 2, so that a test may say exactly what it means

pauses = st.integers(0, 40).map(lambda eighths: eighths / 8)
amounts = st.integers(1, 40).map(float)


@pytest.fixture
def clock() -> Clock:
    """The pace's clock."""
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    """Nothing taken yet."""
    return Pace(RATE, BURST, clock)


@given(steps=st.lists(st.tuples(pauses, amounts), max_size=30))
def test_a_pace_is_a_bucket_of_tokens(steps: list[tuple[float, float]]) -> None:
    """The same waits as of a bucket that fills up to the burst and may owe."""
    clock = Clock()
    pace, tokens = Pace(RATE, BURST, clock), BURST
    for pause, amount in steps:
        clock.advance(pause)
        tokens = min(BURST, tokens + pause * RATE) - amount
        expected = max(0.0, -tokens) / RATE
        assert pace.wait_for(amount) == expected
        assert pace.take(amount) == expected


@given(steps=st.lists(st.tuples(pauses, amounts), min_size=1, max_size=30))
def test_no_stretch_of_time_has_more_than_its_rate_and_one_burst(
    steps: list[tuple[float, float]],
) -> None:
    """Whoever waits as told keeps the limit, over every stretch."""
    clock = Clock()
    pace = Pace(RATE, BURST, clock)
    used = []
    for pause, amount in steps:
        clock.advance(pause)
        used.append((clock.now + pace.take(amount), amount))
    for first in range(len(used)):
        for last in range(first, len(used)):
            in_between = sum(amount for _, amount in used[first + 1 : last + 1])
            assert in_between <= BURST + RATE * (used[last][0] - used[first][0])


@given(taken=st.lists(amounts, max_size=10), amount=amounts)
def test_what_is_given_back_was_never_taken(taken: list[float], amount: float) -> None:
    """The next one waits for what was used, and for nothing else."""
    clock = Clock()
    pace, other = Pace(RATE, BURST, clock), Pace(RATE, BURST, clock)
    for each in taken:
        assert pace.take(each) == other.take(each)
    pace.take(amount)
    pace.give_back(amount)
    assert pace.wait_for(amount) == other.wait_for(amount)


def test_giving_back_after_a_rest_earns_nothing(pace: Pace, clock: Clock) -> None:
    """More than the burst is never there."""
    pace.take(4)
    clock.advance(60)
    pace.give_back(4)
    pace.give_back(400)
    assert pace.take(BURST) == 0
    assert pace.take(RATE) == 1


@given(steps=st.lists(st.tuples(pauses, amounts), max_size=30))
def test_what_can_be_had_at_once_is_taken_and_nothing_else(
    steps: list[tuple[float, float]],
) -> None:
    """As of the same bucket, by those who would not wait."""
    clock = Clock()
    pace, tokens = Pace(RATE, BURST, clock), BURST
    for pause, amount in steps:
        clock.advance(pause)
        tokens = min(BURST, tokens + pause * RATE)
        assert pace.take_now(amount) == (amount <= tokens)
        tokens -= amount if amount <= tokens else 0
