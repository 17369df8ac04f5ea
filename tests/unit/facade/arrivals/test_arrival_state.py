"""An arrival is in one state, and goes from each to no other than those that are drawn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.arrivals.arrival_state import ArrivalMachine, ArrivalState

DRAWN = {
    ("WAITING", "ARRIVING"),
    ("WAITING", "FAILED"),
    ("ARRIVING", "PROVEN"),
    ("ARRIVING", "FAILED"),
    ("PROVEN", "KEPT"),
    ("PROVEN", "FAILED"),
}


@given(wanted=st.lists(st.sampled_from(ArrivalState)))
def test_only_what_is_drawn_happens(wanted: list[ArrivalState]) -> None:
    """And what is proven stays right, whatever becomes of it."""
    machine, has_been = ArrivalMachine(), {ArrivalState.WAITING}
    for state in wanted:
        after = machine.state
        if (after.name, state.name) in DRAWN:
            after = state
            machine.advance(state)
            has_been.add(state)
        else:
            with pytest.raises(RuntimeError):
                machine.advance(state)
        assert machine.state is after
        assert machine.is_proven == (ArrivalState.PROVEN in has_been)
    assert machine.is_over == (machine.state.name in {"KEPT", "FAILED"})


def test_a_failure_has_a_cause_and_only_one() -> None:
    """The first one is what readers are told."""
    machine, cause = ArrivalMachine(), OSError()
    machine.fail(cause)
    with pytest.raises(RuntimeError):
        machine.fail(ValueError())
    assert machine.cause is cause
