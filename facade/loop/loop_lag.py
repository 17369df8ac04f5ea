"""How late the event loop is. While it does one thing, every device waits, whatever it asks.

A timer is due every 50 ms, and its lateness is measured. A shorter block of the loop may go unseen;
a longer one is measured to within 50 ms. To look more often is most of what an idle facade costs.
"""

import asyncio
import time
from typing import Final, Self

from attrs import define, field

TICK_SECONDS: Final = 0.05  # wakes the loop each time (docs/decisions/pulls.md)


@define(eq=False)
class LoopLag:
    """The worst lateness of this loop since somebody last asked."""

    _due: float = field(factory=time.perf_counter, init=False)
    _worst_seconds: float = field(default=0.0, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        """Begin, on the running loop."""
        self._schedule()
        return self

    def __exit__(self, *error: object) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()

    def take_worst_seconds(self) -> float:
        """Return the worst lateness since the last call, including a tick that is overdue now."""
        self._note()
        worst, self._worst_seconds = self._worst_seconds, 0.0
        return worst

    def _schedule(self) -> None:
        self._due = time.perf_counter() + TICK_SECONDS
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._note()
        self._schedule()

    def _note(self) -> None:
        self._worst_seconds = max(self._worst_seconds, time.perf_counter() - self._due)
