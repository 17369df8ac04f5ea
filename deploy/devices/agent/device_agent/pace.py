"""How slow a peer may be: so many bytes in each window of time, or it is cut. Pure.

A limit on each read alone would let a peer send a byte every minute for ever (the slow retrieval
attack); a limit on the whole would cut honest links that are slow.
"""

import time
from collections.abc import Callable
from typing import Self

from attrs import define, field

from device_agent.config import Limits
from device_agent.errors import SlowError


@define
class Pace:
    """The time that one answer has left. Its head has a window of its own."""

    window_seconds: float
    window_bytes: int
    _deadline: float
    clock: Callable[[], float]
    _is_body: bool = field(default=False, init=False)
    _came: int = field(default=0, init=False)  # in this window

    @classmethod
    def begin(cls, limits: Limits, clock: Callable[[], float] = time.monotonic) -> Self:
        """Begin to wait for a head."""
        deadline = clock() + limits.head_seconds
        return cls(limits.window_seconds, limits.window_bytes, deadline, clock)

    def remaining(self) -> float:
        """Return the seconds that a read may take; SlowError if there are none."""
        remaining = self._deadline - self.clock()
        if remaining <= 0:
            raise self.slow()
        return remaining

    def body_begins(self) -> None:
        """The head is there: from now on bytes count."""
        self._is_body = True
        self._new_window()

    def came(self, count: int) -> None:
        """Count bytes; enough of them open the next window."""
        self._came += count
        if self._is_body and self._came >= self.window_bytes:
            self._new_window()

    def slow(self) -> SlowError:
        """Return what is said of a peer that is too slow."""
        if not self._is_body:
            return SlowError("no answer came in time")
        return SlowError(
            f"too slow: {self._came} bytes in {self.window_seconds:g} s,"
            f" and {self.window_bytes} are the least"
        )

    def _new_window(self) -> None:
        self._came = 0
        self._deadline = self.clock() + self.window_seconds
