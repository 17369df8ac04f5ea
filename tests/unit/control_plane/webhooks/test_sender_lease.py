"""Of several processes one sends, and another one goes on after it."""

from itertools import pairwise
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from control_plane.webhooks.bounds import ATTEMPT_SECONDS
from control_plane.webhooks.sender_lease import LEASE_SECONDS, SenderLease


class Row:
    """The row that all processes see, and the time."""

    def __init__(self) -> None:
        """Begin with no row."""
        self.beat: UUID | None = None
        self.now = 0.0

    def look(self, lease: SenderLease) -> None:
        """Have a process look, and claim the row if it may."""
        claim = lease.claim(self.beat)
        if claim is None:
            return
        assert claim.over == self.beat
        self.beat = claim.beat
        lease.claimed(claim, self.now)


def two(row: Row) -> tuple[SenderLease, SenderLease]:
    """Return what two processes know of a row."""
    return SenderLease(lambda: row.now), SenderLease(lambda: row.now)


def test_the_first_one_sends_and_the_second_one_after_it_was_killed() -> None:
    """A killed process beats no more."""
    row = Row()
    first, second = two(row)
    for _ in range(20):
        row.look(first)
        row.look(second)
        assert first.is_held
        assert not second.is_held
        row.now += 2.0
    began = row.now
    while not second.is_held:
        row.look(second)
        row.now += 1.0
    assert LEASE_SECONDS - 2.0 <= row.now - began <= LEASE_SECONDS + 2.0
    assert not first.is_held


def test_a_beat_that_somebody_wrote_and_left_holds_nobody_up_for_longer() -> None:
    """Whoever may write in the database would have to go on writing."""
    row = Row()
    first, _ = two(row)
    row.look(first)
    row.beat = uuid4()
    row.look(first)
    assert not first.is_held
    row.now += LEASE_SECONDS
    row.look(first)
    assert first.is_held


def test_a_row_that_was_given_back_is_taken_at_once() -> None:
    """A stop in good order costs no time."""
    row = Row()
    first, second = two(row)
    row.look(first)
    assert second.claim(row.beat) is None
    claim = second.claim(row.beat, is_released=True)
    assert claim is not None
    assert claim.over == row.beat


@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.floats(0.0, 30.0)), max_size=60))
def test_no_two_begin_a_request_while_the_others_may_go_on(looks: list[tuple[int, float]]) -> None:
    """Whoever looks when, and however long a process stands still."""
    row = Row()
    leases = two(row)
    requests: list[tuple[float, int]] = []
    for who, seconds in looks:
        row.now += seconds
        row.look(leases[who])
        if leases[who].is_held:
            requests.append((row.now, who))
    for (at, who), (after, other) in pairwise(requests):
        assert who == other or after >= at + ATTEMPT_SECONDS
    held = [lease.is_held for lease in leases]
    assert held != [True, True]
