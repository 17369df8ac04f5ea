"""A memory of what peers name: never larger than it may be, and right about what it still holds."""

import math
from collections import OrderedDict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.bounded_map import WITHOUT_END, BoundedMap
from tests.support.clock import Clock
from tests.support.leftovers import leftovers

KEYS = st.integers(0, 12)
OWNERS = st.one_of(st.none(), st.sampled_from("ab"))
MAX_SIZE, MAX_SHARE = 20, 9  # bytes
SECONDS = 30.0


def made(clock: Clock, **options: object) -> BoundedMap[str, str]:
    """Return a map of two entries."""
    return BoundedMap(2, clock=clock, **options)  # type: ignore[arg-type]


def test_an_entry_ends_after_its_time() -> None:
    """Not before, and at once when it is reached."""
    clock = Clock()
    remembered = made(clock, seconds=SECONDS)
    remembered.set("a", "1")
    clock.advance(SECONDS - 1)
    assert remembered.get("a") == "1"
    clock.advance(1)
    assert remembered.get("a") is None
    assert len(remembered) == 0


def test_an_entry_may_have_a_time_of_its_own() -> None:
    """What a registry says of its own time counts."""
    clock = Clock()
    remembered = made(clock, seconds=SECONDS)
    remembered.set("a", "1", seconds=1.0)
    remembered.set_until("b", "2", clock() + 2.0)
    clock.advance(1.0)
    assert list(remembered) == ["b"]
    clock.advance(1.0)
    assert list(remembered) == []


def test_what_is_over_already_is_not_remembered() -> None:
    """Nor is what was there before it."""
    clock = Clock()
    remembered = made(clock)
    remembered.set("a", "1")
    remembered.set_until("a", "2", clock())
    assert "a" not in remembered


def test_without_a_time_an_entry_stays() -> None:
    """Only room ends it."""
    clock = Clock()
    remembered = made(clock)
    remembered.set("a", "1")
    clock.advance(1e12)
    assert remembered.get("a") == "1"


def test_the_least_used_makes_room() -> None:
    """A use is a look, too."""
    remembered = made(Clock())
    remembered.set("a", "1")
    remembered.set("b", "2")
    assert remembered.get("a") == "1"
    remembered.set("c", "3")
    assert sorted(remembered) == ["a", "c"]


def test_what_is_over_makes_room_before_what_is_not() -> None:
    """However recently it was used."""
    clock = Clock()
    remembered = made(clock)
    remembered.set("a", "1")
    remembered.set("b", "2", seconds=1.0)
    clock.advance(1.0)
    remembered.set("c", "3")
    assert sorted(remembered) == ["a", "c"]


def test_an_owner_pushes_out_its_own() -> None:
    """One device that invents names costs no other device its memory."""
    remembered = BoundedMap[str, str](100, max_share=2, clock=Clock())
    remembered.set("victim", "1", owner="honest")
    for each in range(1000):
        remembered.set(str(each), "x", owner="greedy")
    assert remembered.get("victim") == "1"
    assert sorted(remembered) == ["998", "999", "victim"]


def test_what_is_too_large_is_not_kept_and_displaces_nothing() -> None:
    """It could only be kept alone."""
    remembered = BoundedMap[str, str](4, size_of=lambda _, value: len(value), clock=Clock())
    remembered.set("a", "1")
    remembered.set("b", "22222")
    assert list(remembered) == ["a"]


def test_a_memory_that_is_let_go_is_gone_at_once() -> None:
    """Some live as long as a pull: the collector has nothing to do with them."""
    with leftovers() as left:
        memory = BoundedMap[str, int](2)
        memory.set("a", 1, owner="b")
        del memory
    assert left.objects == []


def test_jitter_is_between_half_the_time_and_the_whole() -> None:
    """What was remembered together is forgotten apart."""
    clock = Clock()
    remembered = BoundedMap[int, str](1000, seconds=SECONDS, is_jittered=True, clock=clock)
    for each in range(1000):
        remembered.set(each, "x")
    clock.advance(SECONDS / 2 - 0.001)
    assert len(remembered) == 1000
    clock.advance(SECONDS / 4)
    assert 0 < len(remembered) < 1000
    clock.advance(SECONDS / 4 + 0.001)
    assert len(remembered) == 0


def test_a_map_that_never_had_an_entry_is_small() -> None:
    """A connection has many, and most of them stay empty however often they are asked."""
    remembered = BoundedMap[int, str](100)
    assert remembered.get(1) is None
    assert remembered.pop(1) is None
    assert (len(remembered), remembered.size, list(remembered), 1 in remembered) == (
        0,
        0,
        [],
        False,
    )
    remembered.clear()
    assert remembered._entries is None  # noqa: SLF001
    remembered.set(1, "x")
    assert list(remembered) == [1]


@pytest.mark.parametrize("seconds", [WITHOUT_END, SECONDS])
def test_a_storm_of_invented_keys_is_bounded(seconds: float) -> None:
    """What the cache keeps beside its entries (a heap of ends) is bounded with them."""
    remembered = BoundedMap[int, str](100, seconds=seconds, clock=Clock())
    for each in range(10_000):
        remembered.set(each % 150, "x")
    assert remembered._entries is not None  # noqa: SLF001
    assert len(remembered) == 100
    assert len(remembered._entries._ends) <= 200  # noqa: SLF001


class BoundedMapMachine(RuleBasedStateMachine):
    """Against a model that is a plain dictionary with every rule spelled out."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.map = BoundedMap[int, str](
            MAX_SIZE,
            max_share=MAX_SHARE,
            size_of=lambda _, value: len(value),
            clock=self.clock,
        )
        self.model = OrderedDict[int, tuple[str, float, str | None]]()  # the least used first

    def _size(self, owner: str | None = None) -> int:
        return sum(len(value) for value, _, whose in self.model.values() if owner in (None, whose))

    def _drop_over(self) -> None:
        for key in [key for key, (_, until, _) in self.model.items() if until <= self.clock()]:
            del self.model[key]

    @rule(
        key=KEYS,
        size=st.integers(0, 25),
        seconds=st.sampled_from([1.0, 5.0, math.inf]),
        owner=OWNERS,
    )
    def set(self, key: int, size: int, seconds: float, owner: str | None) -> None:
        """Both keep, and let go of, the same."""
        self._drop_over()
        self.model.pop(key, None)
        self.map.set(key, "x" * size, seconds=seconds, owner=owner)
        if size > (MAX_SIZE if owner is None else MAX_SHARE):
            return
        while owner is not None and self._size(owner) + size > MAX_SHARE:
            del self.model[next(k for k, (_, _, whose) in self.model.items() if whose == owner)]
        while self._size() + size > MAX_SIZE:
            self.model.popitem(last=False)
        self.model[key] = ("x" * size, self.clock() + seconds, owner)

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        """Both find the same."""
        self._drop_over()
        expected = self.model.get(key)
        assert self.map.get(key) == (expected[0] if expected else None)
        if expected:
            self.model.move_to_end(key)

    @rule(key=KEYS)
    def pop(self, key: int) -> None:
        """Both forget the same."""
        self._drop_over()
        expected = self.model.pop(key, None)
        assert self.map.pop(key) == (expected[0] if expected else None)

    @rule()
    def clear(self) -> None:
        """Nothing is left."""
        self.map.clear()
        self.model.clear()

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0]))
    def time_goes_on(self, seconds: float) -> None:
        """Some end."""
        self.clock.advance(seconds)

    @invariant()
    def it_holds_what_it_should(self) -> None:
        """Entries, sizes and owners agree."""
        self._drop_over()
        assert sorted(self.map) == sorted(self.model)
        assert len(self.map) == len(self.model)
        assert self.map.size == self._size() <= MAX_SIZE
        for owner in "ab":
            entries = self.map._entries  # noqa: SLF001
            assert (entries.size_of(owner) if entries else 0) == self._size(owner)


TestBoundedMapMachine = BoundedMapMachine.TestCase
TestBoundedMapMachine.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
