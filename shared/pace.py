"""A rate per second, with a burst after a rest: a token bucket as one number. Pure.

This is the generic cell rate algorithm (ITU-T I.371). It keeps the moment at which everything that
was taken so far will have been earned. A taker that takes more than is there is told how long to
wait, and the next taker waits behind it: so takers get turns.
"""

from collections.abc import Callable

from attrs import define, field


@define(eq=False)
class Pace:
    """The pace of one taker, or of all of them. `per_second` and `burst` are more than 0."""

    per_second: float
    burst: float
    _clock: Callable[[], float]
    _earned_at: float = field(default=float("-inf"), init=False)  # monotonic

    def wait_for(self, amount: float) -> float:
        """Return after how many seconds an amount could be used if it were taken now."""
        return max(0.0, self._after(amount) - self._clock() - self.burst / self.per_second)

    def take(self, amount: float) -> float:
        """Take an amount; return after how many seconds it may be used."""
        wait = self.wait_for(amount)
        self._earned_at = self._after(amount)
        return wait

    def take_now(self, amount: float) -> bool:
        """Take an amount if it can be used at once; return whether it was taken."""
        now, earned_at = self._clock(), self._earned_at
        if earned_at < now:  # noqa: PLR1730 - `max` takes three times as long, for each request
            earned_at = now
        earned_at += amount / self.per_second
        if (earned_at - now) * self.per_second > self.burst:
            return False
        self._earned_at = earned_at
        return True

    def give_back(self, amount: float) -> None:
        """Undo a taking whose amount was not used."""
        self._earned_at -= amount / self.per_second

    def _after(self, amount: float) -> float:
        return max(self._earned_at, self._clock()) + amount / self.per_second
