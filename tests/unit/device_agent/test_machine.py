"""The agent's machine: what may follow on what, and that a kill anywhere is survived."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent import machine
from device_agent.machine import TRANSITIONS, Event, ImpossibleEventError, Phase, advance

CHANGED = {Phase.APPLYING, Phase.CHECKING, Phase.ROLLING_BACK}


@given(st.sampled_from(Phase), st.sampled_from(Event))
def test_what_the_table_does_not_have_is_a_fault(phase: Phase, event: Event) -> None:
    """No step goes where nobody has thought of."""
    if (phase, event) in TRANSITIONS:
        assert advance(phase, event) is TRANSITIONS[phase, event]
    else:
        with pytest.raises(ImpossibleEventError):
            advance(phase, event)


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_knows_what_to_do_after_a_kill(phase: Phase) -> None:
    """What has changed the device is ended, and what has not is begun again."""
    after = advance(phase, Event.RESUMED)
    assert (after in CHANGED) == (phase in CHANGED)


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_comes_to_rest(phase: Phase) -> None:
    """However often a kill comes in between: from each phase some way leads to idle."""
    reached, grown = {Phase.IDLE}, True
    while grown:
        before = len(reached)
        reached |= {source for (source, _), target in TRANSITIONS.items() if target in reached}
        grown = len(reached) > before
    assert phase in reached


@given(st.lists(st.sampled_from(Event)))
def test_nothing_is_applied_before_it_has_arrived(events: list[Event]) -> None:
    """Whatever happens in whatever order."""
    phase, arrived = Phase.IDLE, False
    for event in events:
        if (phase, event) in TRANSITIONS:
            phase = advance(phase, event)
            arrived = (
                phase in CHANGED or event is Event.ARRIVED or (arrived and phase is not Phase.IDLE)
            )
            if event is Event.BEGUN:
                assert arrived
    assert phase not in CHANGED or arrived


def test_the_drawing_has_every_phase_and_event() -> None:
    """It is what people read."""
    drawing = (machine.__doc__ or "").replace("RESUMED", "resumed")
    names = {re.sub(" ", "_", phase.value).upper() for phase in Phase}
    assert [name for name in names if name not in drawing] == []
    drawn = set(Event) - {Event.RESUMED}
    assert [event for event in drawn if event.value not in drawing] == []
