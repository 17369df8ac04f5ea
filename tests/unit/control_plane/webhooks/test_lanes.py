"""In which order events are sent, and when they are tried again."""

import math
from collections import defaultdict
from itertools import pairwise

from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from control_plane.webhooks.lanes import (
    AWAY_AFTER,
    FIRST_RETRY_SECONDS,
    MAX_IN_FLIGHT,
    MAX_PAUSE_SECONDS,
    MAX_RETRY_SECONDS,
    MAX_WAITING,
    READ_ON_BELOW,
    Lanes,
)


@frozen
class Numbered:
    """An event of a lane."""

    lane: str
    number: int


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def lanes_of(*events: Numbered) -> tuple[Lanes[Numbered], Clock]:
    """Return lanes without jitter."""
    clock = Clock()
    lanes: Lanes[Numbered] = Lanes(clock, jittered=lambda seconds: seconds)
    for event in events:
        lanes.put(event)
    return lanes, clock


def test_a_lane_sends_one_after_the_other_and_lanes_side_by_side() -> None:
    """The second event of a connection waits for the first one's answer."""
    first, second, other = Numbered("a", 1), Numbered("a", 2), Numbered("b", 1)
    lanes, _ = lanes_of(first, second, other)
    assert [lanes.take(), lanes.take(), lanes.take()] == [first, other, None]
    lanes.sent(first)
    assert lanes.take() == second


def test_no_more_are_in_flight_than_may_be() -> None:
    """However many lanes there are."""
    lanes, _ = lanes_of(*(Numbered(str(number), 1) for number in range(2 * MAX_IN_FLIGHT)))
    taken = [lanes.take() for _ in range(2 * MAX_IN_FLIGHT)]
    assert taken.count(None) == MAX_IN_FLIGHT


def test_a_lane_that_fails_waits_longer_each_time_and_holds_no_other_up() -> None:
    """But for the pause after its failure."""
    poison, *others = (Numbered("poison", 1), *(Numbered(str(each), 1) for each in range(50)))
    lanes, clock = lanes_of(poison, *others)
    sent, tries = list[Numbered](), list[float]()
    while len(sent) < len(others) or len(tries) < 13:
        event = lanes.take()
        if event is None:
            clock.now += lanes.seconds_until_next()
        elif event == poison:
            tries.append(clock.now)
            lanes.failed(event)
        else:
            sent.append(event)
            lanes.sent(event)
    assert sent == others
    waits = [after - before for before, after in pairwise(tries)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS)


def test_a_target_that_is_away_is_tried_once_a_minute_and_found_again() -> None:
    """Whatever waits; the first success lets all lanes go on."""
    lanes, clock = lanes_of(*(Numbered(str(number), 1) for number in range(100)))
    tries = list[float]()
    while clock.now < 4 * 3600:
        event = lanes.take()
        if event is None:
            clock.now += lanes.seconds_until_next()
        else:
            tries.append(clock.now)
            lanes.failed(event)
            assert lanes.take() is None  # one at a time
    assert lanes.failures >= AWAY_AFTER
    last_hour = [each for each in tries if each > 3 * 3600]
    assert 50 <= len(last_hour) <= 3600 / MAX_PAUSE_SECONDS + 1
    clock.now += MAX_PAUSE_SECONDS
    while (event := lanes.take()) is not None:
        lanes.sent(event)
    assert not len(lanes)


def test_what_the_target_says_of_retry_after_holds_for_all_its_lanes() -> None:
    """It is tired, and not of one event."""
    lanes, clock = lanes_of(Numbered("a", 1), Numbered("b", 1))
    taken = lanes.take()
    assert taken is not None
    lanes.failed(taken, retry_after=600.0)
    assert lanes.seconds_until_next() == 600.0
    clock.now = 599.0
    assert lanes.take() is None
    clock.now = 600.0
    assert lanes.take() == Numbered("b", 1)


def test_somebody_who_asks_has_everything_tried_at_once() -> None:
    """Who has mended a receiver does not wait for an hour."""
    lanes, clock = lanes_of(Numbered("a", 1))
    for _ in range(20):
        clock.now += lanes.seconds_until_next()
        event = lanes.take()
        assert event is not None
        lanes.failed(event)
    assert lanes.seconds_until_next() > 1000
    lanes.retry_at_once()
    assert lanes.take() == Numbered("a", 1)


def test_the_room_ends() -> None:
    """Then the audit log is read no further."""
    lanes, _ = lanes_of(*(Numbered("a", number) for number in range(READ_ON_BELOW)))
    assert lanes.room == 0
    event = lanes.take()
    assert event is not None
    lanes.sent(event)
    assert lanes.room == MAX_WAITING - READ_ON_BELOW + 1
    assert lanes.seconds_until_next() == 0
    assert lanes_of()[0].seconds_until_next() == math.inf


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=30),
    st.lists(st.sampled_from(["sent", "failed", "put_back", "hold", "drop"]), max_size=120),
)
def test_nothing_is_lost_and_a_lanes_order_holds_whatever_happens(
    keys: list[str], happenings: list[str]
) -> None:
    """Each event ends once, in the order of its lane, or still waits."""
    lanes, clock = lanes_of(*(Numbered(key, number) for number, key in enumerate(keys)))
    flying, ended = list[Numbered](), defaultdict[str, list[int]](list)
    for happening in happenings:
        clock.now += 1800.0
        while (event := lanes.take()) is not None:
            flying.append(event)
            assert sum(each.lane == event.lane for each in flying) == 1
        if happening == "hold" or not flying:
            continue
        event = flying.pop(0)
        if happening == "sent":
            lanes.sent(event)
        elif happening == "drop":
            lanes.not_sent(event)
        elif happening == "failed":
            lanes.failed(event)
        else:
            lanes.put_back(event)
        if happening in {"sent", "drop"}:
            ended[event.lane].append(event.number)
    for key in set(keys):
        wanted = [number for number, each in enumerate(keys) if each == key]
        left = sorted(each.number for each in lanes if each.lane == key)
        assert ended[key] + left == wanted
