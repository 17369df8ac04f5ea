"""Whom the facade waits for while it drains, and whose connections it closes."""

import pytest
from attrs import define, field

from facade.devices.pulls_under_way import NEXT_REQUEST_SECONDS, DrainStage, PullsUnderWay
from tests.support.clock import Clock

SOON = NEXT_REQUEST_SECONDS / 2


@define(eq=False)
class Connection:
    """A connection that remembers whether it was to end."""

    counts_as: str
    clock: Clock
    is_answering: bool = False
    awaited_since: float = field(init=False)
    is_finished: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        """It was just opened."""
        self.awaited_since = self.clock()

    def finish(self) -> None:
        """Remember."""
        self.is_finished = True

    def end_pull(self) -> None:
        """Its answer was given."""
        self.is_answering, self.awaited_since = False, self.clock()


@define
class Pulls:
    """The pulls of connections that a test opens."""

    clock: Clock = field(factory=Clock)
    under_way: PullsUnderWay = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with none."""
        self.under_way = PullsUnderWay(self.clock)

    def connection(self, device: str = "press-7", *, is_answering: bool = False) -> Connection:
        """Open a connection of a device."""
        made = Connection(device, self.clock, is_answering=is_answering)
        self.under_way.add(made)
        return made


@pytest.fixture
def pulls() -> Pulls:
    """None yet."""
    return Pulls()


def test_a_pull_is_awaited_while_its_answer_is_sent_and_for_some_time_after(pulls: Pulls) -> None:
    """A client asks for the next layer on the same connection."""
    connection = pulls.connection()
    connection.is_answering = True
    pulls.clock.advance(3600)
    assert pulls.under_way.has("press-7")
    connection.end_pull()
    pulls.clock.advance(SOON)
    assert pulls.under_way.has("press-7")
    assert not pulls.under_way.has("press-8")
    pulls.clock.advance(SOON)
    assert not pulls.under_way.has_any()


def test_whoever_has_just_connected_may_ask(pulls: Pulls) -> None:
    """Its request is on its way; one that asks for nothing is not waited for."""
    connection = pulls.connection()
    pulls.clock.advance(SOON)
    pulls.under_way.finish_others()
    assert pulls.under_way.has_any()
    assert not connection.is_finished
    pulls.clock.advance(SOON)
    pulls.under_way.finish_others()
    assert not pulls.under_way.has_any()
    assert connection.is_finished


def test_a_device_that_has_left_is_not_waited_for(pulls: Pulls) -> None:
    """It cannot come back: nobody is let in any more. Another connection of it goes on."""
    gone, stays = pulls.connection(is_answering=True), pulls.connection(is_answering=True)
    pulls.under_way.remove(gone)
    assert pulls.under_way.has("press-7")
    pulls.under_way.remove(stays)
    assert not pulls.under_way.has_any()


def test_connections_of_other_devices_are_closed(pulls: Pulls) -> None:
    """All connections of a device with a pull under way stay open until the pull has ended."""
    pulling, beside = pulls.connection(is_answering=True), pulls.connection()
    other = pulls.connection("press-8")
    pulls.clock.advance(NEXT_REQUEST_SECONDS)
    pulls.under_way.finish_others()
    assert (pulling.is_finished, beside.is_finished, other.is_finished) == (False, False, True)
    pulling.end_pull()
    pulls.clock.advance(NEXT_REQUEST_SECONDS)
    pulls.under_way.finish_others()
    assert (pulling.is_finished, beside.is_finished) == (True, True)


def test_a_connection_that_was_never_let_in_is_forgotten_without_harm(pulls: Pulls) -> None:
    """Its end is told all the same."""
    pulls.under_way.remove(Connection("", pulls.clock))
    assert not pulls.under_way.has_any()


def test_there_is_no_way_back() -> None:
    """What has stopped begins nothing any more, whoever tells it of an earlier stage."""
    under_way = PullsUnderWay()
    for stage, then in (
        (DrainStage.FINISHING, DrainStage.FINISHING),
        (DrainStage.LEAVING, DrainStage.FINISHING),
        (DrainStage.OVER, DrainStage.OVER),
        (DrainStage.SERVING, DrainStage.OVER),
    ):
        under_way.advance(stage)
        assert under_way.stage is then
