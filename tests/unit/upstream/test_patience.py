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
    """Of no stretch of it is longer waited for than a window, and what the floor allows for it."""
    floor = SpeedFloor(60, 60)
    for until in range(1, len(waits) + 1):
        stretches = [waits[begin:until] for begin in range(until)]
        is_slow = any(_too_long(stretch) for stretch in stretches)
        seconds, count = waits[until - 1]
        floor.waited(seconds)
        if is_slow:
            with pytest.raises(TimeoutError):
                floor.received(count)
            return
        floor.received(count)


def _too_long(stretch: list[tuple[int, int]]) -> bool:
    """Tell whether a stretch (seconds, bytes) is slower than the floor by more than a window."""
    seconds, count = map(sum, zip(*stretch, strict=True))
    return (seconds - 60) * MIN_PROGRESS_BYTES > 60 * count


@pytest.mark.parametrize("size", [100, 1000, MIN_PROGRESS_BYTES - 1])
def test_a_small_blob_is_not_slow_for_being_small(size: int) -> None:
    """Half of it came in the first minute: it was broken off, whatever was still to come."""
    floor = SpeedFloor()
    floor.waited(60.0)
    floor.received(size // 2)
    floor.waited(60.0 * (size // 2 - 1) / MIN_PROGRESS_BYTES)
    floor.received(1)


def test_a_blob_slower_than_the_floor_by_little_is_broken_off_late() -> None:
    """By a hundredth: once that makes a minute."""
    floor, count = SpeedFloor(60, 60), MIN_PROGRESS_BYTES * 99 // 100
    for _ in range(99):
        floor.waited(60.0)
        floor.received(count)
    floor.waited(120.0)
    with pytest.raises(TimeoutError):
        floor.received(count)


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
