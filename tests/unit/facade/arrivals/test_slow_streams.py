"""A stream that is far slower than the others is left, and no other."""

from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from facade.arrivals.slow_streams import LATE_SECONDS, MAX_LEFT, SLOW_SHARE, SlowStreams

STEP = 0.05
LENGTH = 2**40


@define(eq=False)
class Stream:
    """One that brings so many bytes a second."""

    rate: float
    reached: int = 0
    end: int = LENGTH
    has_begun: bool = True


def left_within(streams: list[Stream], seconds: float) -> list[Stream]:
    """Return which are left in this time."""
    slow, left = SlowStreams(), list[Stream]()
    for step in range(int(seconds / STEP)):
        running = [each for each in streams if each not in left]
        for each in running:
            if each.has_begun:
                each.reached += int(each.rate * STEP)
        average = sum(each.rate for each in running if each.has_begun) / len(running)
        found = slow.slowest(step * STEP, running, average)
        if found is not None:
            assert isinstance(found, Stream)
            left.append(found)
    return left


@given(
    rates=st.lists(st.floats(1e6, 1e8), min_size=1, max_size=15),
    share=st.floats(0, 0.05),
)
def test_one_that_is_far_slower_is_left(rates: list[float], share: float) -> None:
    """Dead, or with a small part of what the others bring."""
    slow = Stream(share * min(rates))
    others = [Stream(each) for each in rates]
    assert slow in left_within([*others, slow], 5)


@given(
    rate=st.floats(1e5, 1e8),
    shares=st.lists(st.floats(2 * SLOW_SHARE, 2), min_size=2, max_size=16),
)
def test_streams_that_differ_a_little_all_go_on(rate: float, shares: list[float]) -> None:
    """As they do on any link."""
    assert not left_within([Stream(rate * each) for each in shares], 20)


def test_what_is_almost_done_goes_on() -> None:
    """A new connection would take longer."""
    slow = Stream(1e5, end=3 * 10**5)
    assert not left_within([Stream(1e7), slow], 5)


def test_one_that_has_not_begun_has_longer() -> None:
    """Some multiple of what the others took."""
    late = Stream(1e7, has_begun=False)
    assert not left_within([Stream(1e7), late], LATE_SECONDS - 2 * STEP)
    assert left_within([Stream(1e7), late], LATE_SECONDS + 1) == [late]


def test_without_anything_to_compare_nothing_is_left() -> None:
    """If all are dead, it is the registry, for which there is another patience."""
    assert not left_within([Stream(0), Stream(0), Stream(0, has_begun=False)], 100)


def test_not_many_are_left() -> None:
    """Each costs a connection."""
    slow, fast = SlowStreams(), Stream(1e7)
    for number in range(MAX_LEFT):
        assert slow.may_leave
        dead = Stream(0)
        begun_at = number * 10.0
        fast.reached += 10**8
        assert slow.slowest(begun_at, [fast, dead], 5e6) is None
        fast.reached += 10**8
        assert slow.slowest(begun_at + 5, [fast, dead], 5e6) is dead
    assert not slow.may_leave
