"""How many streams a blob has: as many as pay, on whatever link, and never more than it may.

A link is simulated: what it carries in all, and on each connection; a step is a tenth of a second.
"""

from attrs import define, evolve, field
from hypothesis import given, settings
from hypothesis import strategies as st

from facade.arrivals.stream_growth import (
    LEAST_COME_BYTES,
    LEAST_LEFT_BYTES,
    LONGEST_TRIAL_SECONDS,
    MOST_REST_SECONDS,
    REST_SECONDS,
    GrowthState,
    GrowthTerms,
    Rest,
    Seen,
    StreamGrowth,
)

MIB = 2**20
BLOB = 2**40  # so long that there is time
STEP = 0.1

DRAWN = {
    ("STEADY", "TRYING"),
    ("STEADY", "RESTING"),
    ("TRYING", "STEADY"),
    ("TRYING", "RESTING"),
    ("RESTING", "STEADY"),
    ("RESTING", "TRYING"),  # by way of STEADY, in one look
    ("STEADY", "NARROWED"),
    ("TRYING", "NARROWED"),
    ("RESTING", "NARROWED"),
}


@define
class Link:
    """Carries so many bytes a second in all, and on each connection."""

    in_all: float
    per_connection: float
    others: int = 0  # streams of other blobs
    seen: Seen = field(factory=lambda: Seen(0, 0, 0, BLOB, 1, 0))

    def step(self, streams: int, *, slack: float = 0.9) -> Seen:
        """Let a step pass."""
        share = min(self.per_connection, self.in_all / (streams + self.others))
        own, others = (int(share * each * STEP) for each in (streams, self.others))
        self.seen = evolve(
            self.seen,
            at=self.seen.at + STEP,
            come=self.seen.come + own,
            others=self.seen.others + others,
            left=self.seen.left - own,
            begun=streams,
            slack=self.seen.slack + slack * STEP,
        )
        return self.seen

    def run(self, growth: StreamGrowth, steps: int, *, slack: float = 0.9) -> list[int]:
        """Give the blob as many streams as it is to have; return how many at each step."""
        counts = list[int]()
        for _ in range(steps):
            before = growth.state
            growth.look(self.step(growth.wanted, slack=slack))
            assert before is growth.state or (before.name, growth.state.name) in DRAWN
            counts.append(growth.wanted)
        return counts


rates = st.integers(2 * MIB, 4096 * MIB)


@given(per_connection=rates, most=st.integers(1, 16))
def test_where_each_connection_is_slowed_down_there_are_as_many_as_may_be(
    per_connection: int, most: int
) -> None:
    """Within two seconds, by doubling."""
    growth = StreamGrowth(GrowthTerms(most=most))
    counts = Link(10**15, per_connection).run(growth, 40)
    assert max(counts) <= most
    assert counts[-1] == most


@settings(max_examples=25)
@given(in_all=rates, most=st.integers(2, 16), others=st.integers(0, 40))
def test_where_the_link_is_full_a_second_one_is_tried_seldom(
    in_all: int, most: int, others: int
) -> None:
    """And never a third, whatever it takes from others."""
    growth = StreamGrowth(GrowthTerms(most=most))
    link = Link(in_all, 10**15, others)
    counts = link.run(growth, int(10 * REST_SECONDS / STEP))
    assert max(counts) <= 2
    assert counts.count(2) <= 0.1 * len(counts)


@given(
    per_connection=st.integers(2 * MIB, 64 * MIB),
    room=st.floats(1.0, 20.0),
    most=st.integers(2, 16),
)
def test_what_is_kept_pays(per_connection: int, room: float, most: int) -> None:
    """So many streams bring at least half of what they would on a link without end."""
    growth = StreamGrowth(GrowthTerms(most=most))
    link = Link(room * per_connection, per_connection)
    link.run(growth, 300)
    if growth.state is not GrowthState.TRYING:
        brought = min(growth.wanted, room)
        assert brought >= growth.wanted / 2
        assert growth.wanted >= min(most, room) / 4


def test_a_small_blob_never_has_a_second_one() -> None:
    """Nor has what is left of a large one."""
    growth, link = StreamGrowth(), Link(10**15, 16 * MIB)
    link.seen = evolve(link.seen, left=LEAST_LEFT_BYTES - 1)
    assert max(link.run(growth, 100)) == 1


def test_a_blob_begins_with_one() -> None:
    """Until so much of it has come."""
    growth, link = StreamGrowth(), Link(10**15, 16 * MIB)
    while link.seen.come < LEAST_COME_BYTES:
        assert growth.wanted == 1
        growth.look(link.step(1))
    assert max(link.run(growth, 10)) > 1


def test_one_may_be_all() -> None:
    """Then there is never a second one."""
    assert max(Link(10**15, 16 * MIB).run(StreamGrowth(GrowthTerms(most=1)), 100)) == 1


@given(slack=st.floats(-1.0, 0.2))
def test_where_the_facade_itself_is_waited_for_there_is_one(slack: float) -> None:
    """More would only wait for it, too."""
    assert max(Link(10**15, 16 * MIB).run(StreamGrowth(), 100, slack=slack)) == 1


def test_where_our_own_limit_holds_there_is_one() -> None:
    """And those that there were are given back, if others wait for it, too."""
    growth, link = StreamGrowth(), Link(10**15, 16 * MIB, others=3)
    link.run(growth, 40)
    assert growth.wanted == 4
    for _ in range(40):
        growth.look(evolve(link.step(growth.wanted), is_limited=True))
    assert growth.wanted == 1


def test_what_pays_no_more_is_given_back() -> None:
    """A link that fills up later, say."""
    growth, link = StreamGrowth(), Link(10**15, 16 * MIB)
    link.run(growth, 40)
    assert growth.wanted == 4
    link.in_all = 10 * MIB
    assert 1 in link.run(growth, 200)


def test_one_that_does_not_begin_is_not_waited_for() -> None:
    """A store may hang at the third connection."""
    growth, link = StreamGrowth(), Link(10**15, 16 * MIB)
    while growth.wanted == 1:
        growth.look(link.step(1))
    for _ in range(200):
        growth.look(link.step(1))
    assert growth.wanted == 1


def until_trying(growth: StreamGrowth, link: Link) -> None:
    """Let it want a second stream."""
    while growth.wanted == 1:
        growth.look(link.step(1))


@given(steps=st.integers(1, 2000))
def test_one_that_waits_for_a_place_is_tried_once_it_has_one(steps: int) -> None:
    """However long others keep it: else a blob would want none for a while when its turn comes."""
    growth, link = StreamGrowth(), Link(10**15, 16 * MIB)
    until_trying(growth, link)
    for _ in range(steps):
        growth.look(evolve(link.step(1), waits=True))
        assert growth.wanted == 2
    for _ in range(int(LONGEST_TRIAL_SECONDS / STEP) // 2):
        growth.look(evolve(link.step(1), waits=False))  # it has one, and is asked for
    link.run(growth, 40)
    assert growth.wanted == 4


def test_those_that_have_a_place_are_judged_without_those_that_find_none() -> None:
    """They would keep their places for as long as others wait, whether or not that pays."""
    growth, link = StreamGrowth(), Link(10**15, 16 * MIB)
    while growth.wanted < 4:
        growth.look(link.step(growth.wanted))
    for _ in range(300):
        growth.look(evolve(link.step(min(growth.wanted, 3)), waits=growth.wanted > 3))
    assert growth.wanted > 2


def test_what_fewer_brought_is_what_they_brought_last() -> None:
    """A link may have become slower while a stream waited for its place."""
    growth, link = StreamGrowth(), Link(10**15, 16 * MIB)
    until_trying(growth, link)
    link.per_connection = 4 * MIB
    for _ in range(100):
        growth.look(evolve(link.step(1), waits=True))
    assert max(link.run(growth, 40)) == 4


@given(steps=st.integers(0, 60))
def test_narrowed_is_for_good(steps: int) -> None:
    """From any state."""
    growth, link = StreamGrowth(), Link(10**15, 16 * MIB)
    link.run(growth, steps)
    growth.narrow()
    assert set(link.run(growth, 100)) == {1}
    assert growth.state is GrowthState.NARROWED


@given(steps=st.integers(0, 60), refusals=st.integers(1, 5))
def test_after_a_refusal_there_is_one_for_a_while(steps: int, refusals: int) -> None:
    """From any state; then more are tried again, each time later."""
    growth, link = StreamGrowth(), Link(10**15, 16 * MIB)
    link.run(growth, steps)
    for _ in range(refusals):
        growth.rest(link.seen.at)
        assert growth.wanted == 1
        counts = link.run(growth, int(MOST_REST_SECONDS / STEP) + 10)
        assert REST_SECONDS - 1 <= counts.index(2) * STEP <= MOST_REST_SECONDS + 1


def test_what_was_narrowed_does_not_rest() -> None:
    """It would go on to be widened."""
    growth, link = StreamGrowth(), Link(10**15, 16 * MIB)
    growth.narrow()
    growth.rest(link.seen.at)
    assert growth.state is GrowthState.NARROWED


@given(times=st.integers(1, 20))
def test_a_rest_is_twice_as_long_each_time_up_to_a_bound(times: int) -> None:
    """Until what was tried did good."""
    rest, now = Rest(), 0.0
    for number in range(times):
        rest.begin(now)
        seconds = min(REST_SECONDS * 2**number, MOST_REST_SECONDS)
        assert rest.lasts(now + seconds - 0.1)
        assert not rest.lasts(now + seconds)
        now += seconds
    rest.succeed()
    rest.begin(now)
    assert not rest.lasts(now + REST_SECONDS)
