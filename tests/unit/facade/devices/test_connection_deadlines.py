"""When a connection ends by the clock. All moments are numbers: nothing here waits."""

import pytest

from facade.devices.connection_deadlines import (
    LOOK_AGAIN_SECONDS,
    REQUEST_HEADERS_SECONDS,
    ConnectionDeadlines,
    Due,
)

MAX_AGE, KEEP_ALIVE = 1000.0, 75.0
BEGUN = 10_000.0  # when each connection here is opened


@pytest.fixture
def deadlines() -> ConnectionDeadlines:
    """Those of a connection that has just been opened."""
    return ConnectionDeadlines.begin(BEGUN, MAX_AGE, KEEP_ALIVE)


def test_a_fleet_that_came_at_once_is_not_old_at_once() -> None:
    """Each has nine tenths of the age to all of it."""
    fleet = [ConnectionDeadlines.begin(BEGUN, MAX_AGE, KEEP_ALIVE) for _ in range(100)]
    assert not any(each.is_aged(BEGUN + 0.9 * MAX_AGE - 1) for each in fleet)
    assert 0 < sum(each.is_aged(BEGUN + 0.95 * MAX_AGE) for each in fleet) < len(fleet)
    assert all(each.is_aged(BEGUN + MAX_AGE) for each in fleet)


def test_the_first_head_has_its_time_from_the_handshake_on(deadlines: ConnectionDeadlines) -> None:
    """A part of it does not begin the time anew."""
    until = BEGUN + REQUEST_HEADERS_SECONDS
    assert not deadlines.note_beginning(until - 1)
    assert deadlines.next_look(until - 1, awaits=True) == 1
    assert deadlines.due(until - 0.01, awaits=True) is None
    assert deadlines.due(until, awaits=True) is Due.CUT


def test_a_later_head_has_its_time_from_its_first_part_on(deadlines: ConnectionDeadlines) -> None:
    """However many parts follow."""
    deadlines.note_exchange(BEGUN)
    begun = BEGUN + 50
    assert deadlines.note_beginning(begun)
    assert not deadlines.note_beginning(begun + 14)
    assert deadlines.due(begun + REQUEST_HEADERS_SECONDS, awaits=True) is Due.CUT


def test_a_head_behind_an_answer_has_its_time_when_that_is_given(
    deadlines: ConnectionDeadlines,
) -> None:
    """An answer may take hours, and the device sends what it likes meanwhile."""
    deadlines.note_head()
    deadlines.note_beginning(BEGUN)
    late = BEGUN + REQUEST_HEADERS_SECONDS
    assert deadlines.due(late, awaits=False) is None
    deadlines.note_answer(late)
    assert deadlines.due(late + REQUEST_HEADERS_SECONDS - 1, awaits=True) is None
    assert deadlines.due(late + REQUEST_HEADERS_SECONDS, awaits=True) is Due.CUT


@pytest.mark.parametrize("seconds", [0.0, 40.0, 200.0])
def test_it_is_idle_from_its_last_answer_on(deadlines: ConnectionDeadlines, seconds: float) -> None:
    """Whether the answer was given at once, or in a task."""
    deadlines.note_exchange(BEGUN + seconds / 2)
    deadlines.note_answer(BEGUN + seconds)
    idle = BEGUN + seconds + KEEP_ALIVE
    assert deadlines.due(idle - 1, awaits=True) is None
    assert deadlines.due(idle, awaits=False) is None
    assert deadlines.due(idle, awaits=True) is Due.CLOSE


def test_an_old_one_is_closed_once_it_answers_nothing(deadlines: ConnectionDeadlines) -> None:
    """However lately it was used."""
    old = BEGUN + MAX_AGE
    deadlines.note_exchange(old)
    assert deadlines.due(old, awaits=False) is None
    assert deadlines.due(old, awaits=True) is Due.CLOSE


@pytest.mark.parametrize("awaits", [True, False])
@pytest.mark.parametrize("at", [0.0, 14.0, 950.0, 1000.0, 5000.0])
@pytest.mark.parametrize("is_begun", [True, False])
def test_the_next_look_is_never_late_and_never_now(
    deadlines: ConnectionDeadlines, at: float, *, awaits: bool, is_begun: bool
) -> None:
    """Until then nothing is due; and a timer of no seconds would take a whole core."""
    now = BEGUN + at
    deadlines.note_exchange(now)
    if is_begun:
        deadlines.note_beginning(now)
    if deadlines.due(now, awaits=awaits) is not None:
        return
    seconds = deadlines.next_look(now, awaits=awaits)
    assert 0 < seconds <= LOOK_AGAIN_SECONDS
    assert deadlines.due(now + 0.99 * seconds, awaits=awaits) is None
