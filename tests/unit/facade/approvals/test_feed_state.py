"""A feed is in one state, and goes from each to no other than those that are drawn."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.approvals.feed_state import FeedMachine, FeedState

# What happens, in each state, and where it leads; whatever is not here is refused.
DRAWN: Final = {
    ("STARTING", "restored"): "RESTORED",
    ("RESTORED", "read"): "FOLLOWING",
    ("RESTORED", "failed"): "UNREAD",
    ("UNREAD", "read"): "FOLLOWING",
    ("UNREAD", "failed"): "UNREAD",
    ("FOLLOWING", "read"): "FOLLOWING",
    ("FOLLOWING", "failed"): "LOST",
    ("LOST", "read"): "FOLLOWING",
    ("LOST", "failed"): "LOST",
}


def happens(machine: FeedMachine, what: str) -> None:
    """Let it happen."""
    if what == "restored":
        machine.restored()
    elif what == "read":
        machine.read()
    else:
        machine.failed("the database closed the connection")


@given(events=st.lists(st.sampled_from(["restored", "read", "failed"]), max_size=12))
def test_only_what_is_drawn_happens(events: list[str]) -> None:
    """And the words say of each state whether the database is followed."""
    machine, done = FeedMachine(), list[str]()
    for event in events:
        after = DRAWN.get((machine.state.name, event))
        if after is None:
            with pytest.raises(RuntimeError):
                happens(machine, event)
        else:
            happens(machine, event)
            done.append(event)
            assert machine.state.name == after
        assert (machine.problem is None) == (machine.state is FeedState.FOLLOWING)
    assert machine.state.was_read == ("read" in done)
    assert machine.state.was_tried == ("read" in done or "failed" in done)


def test_what_is_new_is_told_once() -> None:
    """A database that is away for a day is one line in the log, and so is its return."""
    machine = FeedMachine()
    machine.restored()
    assert [machine.failed(why) for why in ("no", "no", "other", "other")] == [True, False] * 2
    assert [machine.read(), machine.read()] == [True, False]
    assert machine.failed("other")
