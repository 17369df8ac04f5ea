"""Which of several control planes sends: the one that keeps changing one row. Pure.

The row names a beat, a random number. Whoever sends writes a new one every few seconds. Whoever
sees the same beat for `LEASE_SECONDS` takes the row over, by a change that succeeds only while that
beat is still there. No clock is compared with another machine's, and a row that somebody forged
and left holds nobody up for longer.

A sender begins a request only while the request ends before others may take over. So no two send
at once, and the order of a connection's events holds.
"""

import math
from collections.abc import Callable
from typing import Final
from uuid import UUID, uuid4

from attrs import define, field, frozen

from control_plane.webhooks.bounds import ATTEMPT_SECONDS

LEASE_SECONDS: Final = 20.0  # after so long without a beat, another control plane sends
BEAT_SECONDS: Final = 2.0


@frozen
class LeaseClaim:
    """What is to be written, and over which beat; None over a row that is not there."""

    beat: UUID
    over: UUID | None


@define(eq=False)
class SenderLease:
    """What one process knows of the row. Times are those of a monotonic clock, in seconds."""

    _clock: Callable[[], float]
    _own: UUID | None = field(default=None, init=False)
    _seen: UUID | None = field(default=None, init=False)
    _seen_at: float = field(default=-math.inf, init=False)
    _until: float = field(default=-math.inf, init=False)

    @property
    def is_held(self) -> bool:
        """Whether a request may begin now."""
        return self._clock() < self._until - ATTEMPT_SECONDS

    def claim(self, found: UUID | None, *, is_released: bool = False) -> LeaseClaim | None:
        """Return what to write after a look that found a beat; None if another process sends."""
        now = self._clock()
        if found != self._seen:
            self._seen, self._seen_at = found, now
        if found is None or is_released or found == self._own:
            return LeaseClaim(uuid4(), found)
        self._until = -math.inf
        return LeaseClaim(uuid4(), found) if now - self._seen_at >= LEASE_SECONDS else None

    def claimed(self, claim: LeaseClaim, began: float) -> None:
        """Take over what was written by a change that began at a time."""
        self._own = self._seen = claim.beat
        self._seen_at = began
        self._until = began + LEASE_SECONDS

    def lost(self) -> None:
        """Take that another process was faster, or that the row is given back."""
        self._own, self._until = None, -math.inf

    @property
    def own(self) -> UUID | None:
        """The beat that this process wrote last."""
        return self._own
