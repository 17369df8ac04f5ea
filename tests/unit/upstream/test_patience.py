"""How long a body is waited for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.oci import Kind
from shared.upstream.patience import MIN_PROGRESS_BYTES, Deadline, SpeedFloor
from shared.upstream.transport import Timeouts

WAITS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 2 * MIN_PROGRESS_BYTES)), max_size=60
)  # seconds of waiting, and the bytes that came then


@given(waits=WAITS)
def test_a_small_body_has_so_many_seconds_of_waiting_in_all(
    waits: list[tuple[int, int]],
) -> None:
    """However many bytes come, and never for longer than what is left."""
    deadline, waited = Deadline(60, 20), 0.0
    for seconds, count in waits:
        assert 0 <= deadline.seconds <= min(20, max(0, 60 - waited))
        waited += seconds
        deadline.waited(seconds)
        if waited > 60:
            with pytest.raises(TimeoutError):
                deadline.received(count)
            return
        deadline.received(count)


@given(waits=WAITS)
def test_a_blob_has_to_come_with_some_speed(waits: list[tuple[int, int]]) -> None:
    """Looked at whenever a window of waiting is over: some of the blob has to have come in it."""
    floor, waited, received = SpeedFloor(60, 60), 0.0, 0
    for seconds, count in waits:
        floor.waited(seconds)
        waited, received = waited + seconds, received + count
        if waited >= 60 and received < MIN_PROGRESS_BYTES:
            with pytest.raises(TimeoutError):
                floor.received(count)
            return
        floor.received(count)
        if waited >= 60:
            waited, received = 0.0, 0


def test_what_is_there_already_is_not_waited_for() -> None:
    """Whoever reads late has no complaint to make."""
    floor, deadline = SpeedFloor(), Deadline(1)
    for _ in range(10_000):
        floor.received(1)
        deadline.received(1)


@pytest.mark.parametrize("kind", Kind)
def test_a_silence_that_the_operator_allows_ends_nothing(kind: Kind) -> None:
    """`FACADE_UPSTREAM_TIMEOUT` may be longer than the bounds that are built in."""
    patience = Timeouts(stall_seconds=300.0).patience(kind)
    assert patience.seconds == 300.0
    patience.waited(290.0)
    patience.received(1)
    patience.waited(20.0)
    with pytest.raises(TimeoutError):
        patience.received(1)
