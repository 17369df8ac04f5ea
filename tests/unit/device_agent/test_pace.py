"""How slow a peer may be, with a clock of the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_agent.config import Limits
from device_agent.errors import SlowError
from device_agent.pace import Pace

LIMITS = Limits(head_seconds=30, window_seconds=10, window_bytes=1000)


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 3000)), max_size=60))
def test_a_peer_is_cut_when_a_window_brought_too_little(reads: list[tuple[float, int]]) -> None:
    """The oracle: since the last full window no more than its seconds have gone by."""
    clock = Clock()
    pace = Pace.begin(LIMITS, clock)
    pace.body_begins()
    since, came = 0.0, 0
    for seconds, count in reads:
        clock.now += seconds
        if clock.now - since >= LIMITS.window_seconds:
            with pytest.raises(SlowError, match=f"{came} bytes"):
                pace.remaining()
            return
        assert pace.remaining() == pytest.approx(since + LIMITS.window_seconds - clock.now)
        pace.came(count)
        came += count
        if came >= LIMITS.window_bytes:
            since, came = clock.now, 0


@given(st.lists(st.floats(0.1, 5), max_size=100))
def test_a_head_in_drops_has_one_window(pauses: list[float]) -> None:
    """Bytes of a head open no new one."""
    clock = Clock()
    pace = Pace.begin(LIMITS, clock)
    for pause in pauses:
        clock.now += pause
        if clock.now >= LIMITS.head_seconds:
            with pytest.raises(SlowError, match="no answer"):
                pace.remaining()
            return
        assert pace.remaining() > 0
        pace.came(5000)
