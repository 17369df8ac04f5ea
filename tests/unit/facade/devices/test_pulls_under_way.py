"""Whose pulls are under way, which decides who is served while the facade drains."""

import pytest
from attrs import define, field

from facade.devices.pulls_under_way import NEXT_REQUEST_SECONDS, PullsUnderWay
from tests.support.clock import Clock

SOON = NEXT_REQUEST_SECONDS / 2


@define(eq=False)
class Connection:
    """A connection that remembers whether it was to end."""

    counts_as: str
    clock: Clock
    is_pulling: bool = False
    pulled_at: float | None = None
    is_finished: bool = field(default=False, init=False)

    def finish(self) -> None:
        """Remember."""
        self.is_finished = True

    def end_pull(self) -> None:
        """Its answer was given."""
        self.is_pulling, self.pulled_at = False, self.clock()


@define
class Pulls:
    """The pulls of connections that a test opens."""

    clock: Clock = field(factory=Clock)
    under_way: PullsUnderWay = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with none."""
        self.under_way = PullsUnderWay(self.clock)

    def connection(self, device: str = "press-7", *, is_pulling: bool = False) -> Connection:
        """Open a connection of a device."""
        made = Connection(device, self.clock, is_pulling=is_pulling)
        self.under_way.add(made)
        return made

    def drain(self) -> None:
        """Begin to drain, as the facade does."""
        self.under_way.is_draining = True
        self.under_way.finish_others()


@pytest.fixture
def pulls() -> Pulls:
    """None yet."""
    return Pulls()


def test_a_pull_is_under_way_while_its_answer_is_sent_and_for_some_time_after(pulls: Pulls) -> None:
    """A client asks for the next layer on the same connection."""
    connection = pulls.connection()
    assert not pulls.under_way.has_any()
    connection.is_pulling = True
    pulls.clock.advance(3600)
    assert pulls.under_way.has("press-7")
    connection.end_pull()
    pulls.clock.advance(SOON)
    assert pulls.under_way.has("press-7")
    assert not pulls.under_way.has("press-8")
    pulls.clock.advance(SOON)
    assert not pulls.under_way.has_any()


def test_a_device_that_breaks_an_answer_off_comes_back_for_more(pulls: Pulls) -> None:
    """As a chunked pull does, before and while the facade drains."""
    for _ in range(2):
        broken_off = pulls.connection(is_pulling=True)
        pulls.under_way.remove(broken_off)
        pulls.clock.advance(SOON)
        assert pulls.under_way.has("press-7")
        pulls.clock.advance(SOON)
        assert not pulls.under_way.has_any()
        pulls.drain()


def test_a_device_that_has_closed_its_connection_has_no_pull_under_way(pulls: Pulls) -> None:
    """A facade that nobody is connected to stops at once; while it drains it waits a little."""
    for is_draining in (False, True):
        connection = pulls.connection(is_pulling=True)
        connection.end_pull()
        pulls.under_way.remove(connection)
        assert pulls.under_way.has_any() == is_draining
        pulls.drain()
    pulls.clock.advance(NEXT_REQUEST_SECONDS)
    assert not pulls.under_way.has_any()


def test_connections_of_other_devices_are_closed(pulls: Pulls) -> None:
    """All connections of a device with a pull under way stay open until the pull has ended."""
    pulling, beside = pulls.connection(is_pulling=True), pulls.connection()
    other = pulls.connection("press-8")
    pulls.drain()
    assert (pulling.is_finished, beside.is_finished, other.is_finished) == (False, False, True)
    pulling.end_pull()
    pulls.clock.advance(NEXT_REQUEST_SECONDS)
    pulls.under_way.finish_others()
    assert (pulling.is_finished, beside.is_finished) == (True, True)


def test_whoever_comes_while_it_drains_may_ask_before_it_is_finished(pulls: Pulls) -> None:
    """Only so is a device told that it is to come again; after a pull it is as any other."""
    pulls.drain()
    late = pulls.connection()
    pulls.under_way.finish_others()
    assert not late.is_finished
    late.is_pulling = True
    late.end_pull()
    pulls.clock.advance(NEXT_REQUEST_SECONDS)
    pulls.under_way.finish_others()
    assert late.is_finished


def test_what_is_remembered_of_devices_that_left_is_bounded_by_time(pulls: Pulls) -> None:
    """However many break off, and come back under other names."""
    for number in range(1000):
        pulls.under_way.remove(pulls.connection(f"device-{number}", is_pulling=True))
        pulls.clock.advance(SOON)
    assert sum(pulls.under_way.has(f"device-{number}") for number in range(1000)) == 1
    assert len(pulls.under_way._left) <= 3  # noqa: SLF001 - what it costs is what is tested


def test_a_connection_that_was_never_let_in_is_forgotten_without_harm(pulls: Pulls) -> None:
    """Its end is told all the same."""
    pulls.under_way.remove(Connection("", pulls.clock))
    assert not pulls.under_way.has_any()
