"""Looks for reference cycles every few seconds, because the collector itself comes too seldom.

`facade serve` lets it wait for 50,000 new objects, because each look costs warm pulls time. Without
these rounds, a facade that makes few but large objects (wrong bodies, in a library's cycles) would
keep them.
"""

import asyncio
import gc
import time
from typing import Final, Self

from attrs import define, field

ROUND_SECONDS: Final = 5.0
FULL_ROUNDS: Final = 12  # every twelfth round looks at everything, the others at young objects
YOUNG: Final = 1  # a generation of the collector
EVERYTHING: Final = 2
# The pause is at least 200 times as long as the last round took: half a percent of a core at most.
PAUSE_FACTOR: Final = 200


@define(eq=False)
class GarbageRounds:
    """The rounds of one process, on the running loop, from `__enter__` to `__exit__`."""

    _seconds: float = ROUND_SECONDS
    rounds: int = field(default=0, init=False)  # that were made so far
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        """Begin."""
        self._wait(self._seconds)
        return self

    def __exit__(self, *error: object) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._round)

    def _round(self) -> None:
        begun = time.perf_counter()
        gc.collect(YOUNG if self.rounds % FULL_ROUNDS else EVERYTHING)
        self.rounds += 1
        self._wait(max(self._seconds, (time.perf_counter() - begun) * PAUSE_FACTOR))
