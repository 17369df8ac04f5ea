"""Spare streams of a registry: never more than there are, round by device, and none is lost."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from facade.registries.spare_streams import DOUBTED_SECONDS, SpareClaim, SpareStreams
from tests.support.clock import Clock

MOST = 3
DEVICES = ["a", "b", "c"]


class Places(RuleBasedStateMachine):
    """Blobs of some devices take, give back, and stop waiting, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.told = 0
        self.streams = SpareStreams(Clock(), MOST, self._tell)
        self.claims = [self.streams.claim(each, lambda: None) for each in DEVICES * 2]
        self.taken: Counter[int] = Counter()

    def _tell(self, more: int) -> None:
        self.told += more

    @rule(place=st.integers(0, 5))
    def take(self, place: int) -> None:
        """A blob wants one more."""
        if self.claims[place].take():
            self.taken[place] += 1

    @precondition(lambda self: self.taken.total() > 0)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """A stream has ended."""
        place = data.draw(st.sampled_from(sorted(self.taken.elements())))
        self.taken[place] -= 1
        self.claims[place].give_back()

    @rule(place=st.integers(0, 5))
    def stop_waiting(self, place: int) -> None:
        """A blob wants no more."""
        self.claims[place].stop_waiting()

    @invariant()
    def there_are_never_too_many(self) -> None:
        """And what is told is right."""
        assert self.taken.total() <= self.streams.taken <= MOST
        assert self.told == self.streams.taken

    def teardown(self) -> None:
        """Nothing is lost when all have ended."""
        for claim in self.claims:
            claim.stop_waiting()
        for place in self.taken.elements():
            self.claims[place].give_back()
        assert self.streams.taken == 0


TestPlaces = Places.TestCase


def test_they_go_round_by_device() -> None:
    """One with many blobs gets no more than one with a single one."""
    streams = SpareStreams(Clock(), 4)
    greedy = [streams.claim("greedy", lambda: None) for _ in range(8)]
    assert [each.take() for each in greedy] == [True] * 4 + [False] * 4
    woken = list[str]()
    modest = streams.claim("modest", lambda: woken.append("modest"))
    assert not modest.take()
    greedy[0].give_back()
    assert woken == ["modest"]
    assert modest.take()
    assert not modest.take()
    greedy[1].give_back()
    assert woken == ["modest"] * 2


def test_of_one_device_the_blob_that_waits_longest_is_next() -> None:
    """And one that stops waiting keeps nothing."""
    streams, woken = SpareStreams(Clock(), 1), list[int]()

    def claim(number: int) -> SpareClaim:
        return streams.claim("device", lambda: woken.append(number))

    first, second, third = claim(1), claim(2), claim(3)
    assert first.take()
    assert not second.take()
    assert not third.take()
    first.give_back()
    assert woken == [2]
    second.stop_waiting()
    assert woken == [2, 3]
    assert third.take()


@given(most=st.integers(0, 5))
def test_none_may_be_there(most: int) -> None:
    """With none, each blob has its first stream, for which nobody asks here."""
    streams = SpareStreams(Clock(), most)
    taken = [streams.claim("device", lambda: None).take() for _ in range(6)]
    assert taken == [True] * most + [False] * (6 - most)


def test_a_doubt_ends() -> None:
    """By then, the registry may be mended."""
    clock = Clock()
    streams, doubted = SpareStreams(clock), list[bool]()
    for seconds in (0, DOUBTED_SECONDS - 1, 1):
        clock.advance(seconds)
        doubted.append(streams.are_doubted)
        if not seconds:
            streams.doubt()
    assert doubted == [False, True, False]
