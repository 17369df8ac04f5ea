"""How often what a process remembers for a while may have been forgotten: on a slow machine, often.

A bound on what it asks holds for the time that has passed, and so on any machine.
"""

import time
from typing import Self

from attrs import frozen


@frozen
class Forgotten:
    """Counts from a moment on; `shortest` is for how long something is remembered at least."""

    shortest: float  # seconds
    _began: float

    @classmethod
    def after(cls, shortest: float) -> Self:
        """Count from now on."""
        return cls(shortest, time.monotonic())

    @property
    def times(self) -> int:
        """How often it may have been forgotten by now."""
        return int((time.monotonic() - self._began) // self.shortest)
