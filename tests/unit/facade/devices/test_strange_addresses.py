"""Whoever connects anew again and again has a bounded share; whoever is among devices has none."""

import pytest

from facade.devices.strange_addresses import (
    KNOWN_SECONDS,
    NOTED_EVERY_SECONDS,
    STRANGE_AT_ONCE,
    STRANGE_PER_SECOND,
    StrangeAddresses,
)
from tests.support.clock import Clock

STRANGER, FLEET = "192.0.2.66", "192.0.2.7"


@pytest.fixture
def clock() -> Clock:
    """It moves when it is told to."""
    return Clock()


@pytest.fixture
def addresses(clock: Clock) -> StrangeAddresses:
    """All of them strange."""
    return StrangeAddresses(clock)


def begun(addresses: StrangeAddresses, site: str, tries: int) -> int:
    """Return how many of so many handshakes may begin."""
    return sum(addresses.may_begin(site) for _ in range(tries))


def test_a_stranger_has_a_burst_and_then_a_few_a_second(
    addresses: StrangeAddresses, clock: Clock
) -> None:
    """However fast it comes, and whatever others have."""
    assert begun(addresses, STRANGER, 5000) == STRANGE_AT_ONCE
    for _ in range(5):
        clock.advance(1.0)
        assert begun(addresses, STRANGER, 5000) == pytest.approx(STRANGE_PER_SECOND, abs=1)
    assert addresses.may_begin(FLEET)


def test_an_address_of_devices_is_held_to_nothing(
    addresses: StrangeAddresses, clock: Clock
) -> None:
    """A NAT or a load balancer has strangers and devices behind one address."""
    assert begun(addresses, FLEET, 5000) == STRANGE_AT_ONCE
    addresses.note_good_end(FLEET)
    assert begun(addresses, FLEET, 5000) == 5000
    clock.advance(KNOWN_SECONDS)
    assert begun(addresses, FLEET, 5000) == pytest.approx(STRANGE_AT_ONCE, abs=1)


def test_an_address_at_which_devices_come_all_the_time_stays_known(
    addresses: StrangeAddresses, clock: Clock
) -> None:
    """However often that is: not each of them is noted."""
    for _ in range(2 * 24 * 60):
        clock.advance(NOTED_EVERY_SECONDS / 2)
        addresses.note_good_end(FLEET)
        addresses.note_good_end(FLEET)
    clock.advance(KNOWN_SECONDS - NOTED_EVERY_SECONDS)
    assert begun(addresses, FLEET, 5000) == 5000
    clock.advance(NOTED_EVERY_SECONDS)
    assert begun(addresses, FLEET, 5000) == pytest.approx(STRANGE_AT_ONCE, abs=1)


def test_a_fleet_that_comes_for_the_first_time_is_let_in(addresses: StrangeAddresses) -> None:
    """Five thousand at once, of which some come to an end before the burst is over."""
    assert begun(addresses, FLEET, STRANGE_AT_ONCE // 2) == STRANGE_AT_ONCE // 2
    addresses.note_good_end(FLEET)
    assert begun(addresses, FLEET, 5000) == 5000
