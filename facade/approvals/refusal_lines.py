"""How many log lines tell of rows that are not believed: there may be a million rows. Pure."""

from collections.abc import Callable
from typing import Final

from attrs import define, field

LINES_A_MINUTE: Final = 100  # enough to see who tampers with what; the rest is counted
_MINUTE_SECONDS: Final = 60.0


@define
class RefusalLines:
    """The lines of each minute."""

    _clock: Callable[[], float]  # seconds, monotonic
    _began: float = field(default=float("-inf"), init=False)
    _told: int = field(default=0, init=False)
    _untold: int = field(default=0, init=False)

    def may_tell(self) -> bool:
        """Tell whether one more line may be written; if not, count it."""
        now = self._clock()
        if now - self._began >= _MINUTE_SECONDS:
            self._began, self._told = now, 0
        if self._told >= LINES_A_MINUTE:
            self._untold += 1
            return False
        self._told += 1
        return True

    def take_untold(self) -> int:
        """Return how many had no line; 0 until their minute is over."""
        if self._clock() - self._began < _MINUTE_SECONDS:
            return 0
        untold, self._untold = self._untold, 0
        return untold
