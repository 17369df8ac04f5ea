"""When a connection ends by the clock: no request comes in time, it is idle for too long, or old.

Pure. All moments are the loop's seconds. When a certificate ends is read on another clock
(`connection_clock.py`).
"""

import math
import random
from enum import Enum, auto
from typing import Final, Self

from attrs import define

# From the handshake, or a later request's first byte, to complete headers.
REQUEST_HEADERS_SECONDS: Final = 15.0
KEEP_ALIVE_SECONDS: Final = 75.0  # nginx's default; a vanished device's memory is kept so long
LOOK_AGAIN_SECONDS: Final = 60.0  # the loop's timers run on another clock than certificates
_AGE_JITTER: Final = 0.1  # of the age, so that a fleet that came at once does not leave at once
_NEVER: Final = math.inf


class Due(Enum):
    """What the clock asks for."""

    CUT = auto()  # no head came in time
    CLOSE = auto()  # it was idle for too long, or is old
    EXPIRED = auto()  # the device's certificate has ended: it is cut, whatever is under way


@define(eq=False)
class ConnectionDeadlines:
    """Those of one connection. It `awaits` as long as it answers nothing."""

    _keep_alive_seconds: float
    _ends_at: float  # is old from then on
    _idle_until: float
    _head_until: float  # `_NEVER`: none has begun

    @classmethod
    def begin(cls, now: float, max_age_seconds: float, keep_alive_seconds: float) -> Self:
        """Return those of a new connection, which awaits its first head."""
        share = random.uniform(1 - _AGE_JITTER, 1)  # noqa: S311 - no secret
        return cls(
            keep_alive_seconds,
            now + share * max_age_seconds,
            now + keep_alive_seconds,
            now + REQUEST_HEADERS_SECONDS,
        )

    def is_aged(self, now: float) -> bool:
        """Tell whether it has been open for long enough."""
        return now >= self._ends_at

    def note_beginning(self, now: float) -> bool:
        """Note a part of a head; tell whether it is the first one, whose rest now has its time."""
        if self._head_until != _NEVER:
            return False
        self._head_until = now + REQUEST_HEADERS_SECONDS
        return True

    def note_head(self) -> None:
        """Note that a head is complete."""
        self._head_until = _NEVER

    def note_answer(self, now: float) -> None:
        """Note that an answer was given. Behind it, a part of the next head may have come."""
        self._idle_until = now + self._keep_alive_seconds

    def note_exchange(self, now: float) -> None:
        """Note a head that was complete, and its answer."""
        self._head_until = _NEVER
        self._idle_until = now + self._keep_alive_seconds

    def due(self, now: float, *, awaits: bool) -> Due | None:
        """Return what is to be done now."""
        if now >= self._head_until:
            if awaits:
                return Due.CUT
            self._head_until = now + REQUEST_HEADERS_SECONDS  # behind what is being answered
        return Due.CLOSE if awaits and now >= min(self._idle_until, self._ends_at) else None

    def next_look(self, now: float, *, awaits: bool) -> float:
        """Return in how many seconds something may be due."""
        idle_until = self._idle_until if awaits else now + self._keep_alive_seconds
        ends_at = self._ends_at if now < self._ends_at else now + LOOK_AGAIN_SECONDS
        return min(self._head_until, idle_until, ends_at, now + LOOK_AGAIN_SECONDS) - now
