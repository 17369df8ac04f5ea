"""How many bytes of a blob come in a second."""

import pytest

from facade.arrivals.coming_rate import WINDOW_SECONDS, ComingRate

BEGUN, LEFT = 100.0, 7_000_000  # seconds; bytes that an earlier flight has left


def test_nobody_knows_it_before_a_window_has_passed() -> None:
    """What was there before is nothing that has come."""
    rate = ComingRate()
    assert rate.look(BEGUN, LEFT) == 0
    assert rate.look(BEGUN + WINDOW_SECONDS / 2, LEFT + 1_000_000) == 0
    seen = rate.look(BEGUN + 2 * WINDOW_SECONDS, LEFT + 2_000_000)
    assert seen == pytest.approx(1_000_000 / WINDOW_SECONDS)


def test_it_is_that_of_the_last_window() -> None:
    """It says nothing of what came before, and stays until another one has passed."""
    rate = ComingRate()
    rate.look(BEGUN, 0)
    rate.look(BEGUN + 1, 1_000_000)
    assert rate.look(BEGUN + 1 + WINDOW_SECONDS / 2, 9_000_000) == 1_000_000
    assert rate.look(BEGUN + 5, 9_000_000) == 2_000_000
    assert rate.look(BEGUN + 9, 9_000_000) == 0
