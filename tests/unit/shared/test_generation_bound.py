"""How far ahead of a clock a generation may be."""

from datetime import UTC, datetime, timedelta

from shared.generation_bound import BUILT_AFTER, MAX_AHEAD_SECONDS, highest_generation_at
from shared.statement import MAX_GENERATION


def milliseconds(moment: datetime) -> int:
    """Return a moment's Unix time."""
    return int(moment.timestamp() * 1000)


def test_a_year_ahead_of_the_clock_is_the_highest() -> None:
    """A leap year, to the millisecond; never above what a statement can have."""
    now = milliseconds(BUILT_AFTER)
    assert highest_generation_at(now) == milliseconds(BUILT_AFTER + timedelta(days=366))
    assert highest_generation_at(now + 5) == now + 5 + MAX_AHEAD_SECONDS * 1000
    assert highest_generation_at(MAX_GENERATION) == MAX_GENERATION


def test_a_clock_that_is_before_this_program_was_built_judges_nothing() -> None:
    """It is wrong, as that of a board without a battery is; all would be refused by it."""
    for moment in (datetime(1970, 1, 1, tzinfo=UTC), BUILT_AFTER - timedelta(milliseconds=1)):
        assert highest_generation_at(milliseconds(moment)) == MAX_GENERATION


def test_this_program_was_built_after_the_day_that_it_says() -> None:
    """A day in the future would switch the bound off."""
    assert datetime.now(UTC) >= BUILT_AFTER
