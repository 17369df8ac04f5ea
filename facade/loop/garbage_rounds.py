"""Looks for reference cycles every few seconds, for the collector itself comes too seldom.

`facade serve` has it wait for 50,000 new objects, because looking costs a warm pull. A facade that
makes few objects but large ones (bodies that were wrong, in cycles of a library) would keep them.
"""

import asyncio
import gc
import time
from typing import Final, Self

from attrs import define, field

ROUND_SECONDS: Final = 5.0
FULL_ROUNDS: Final = 12  # one of so many looks at everything, the others at what is young
YOUNG: Final = 1  # the generation
EVERYTHING: Final = 2
# At least so many times as long as a round takes there is none: half a percent of a core at most.
PAUSE_FACTOR: Final = 200


@define(eq=False)
class GarbageRounds:
    """Rounds of one process, on the running loop, from entering to leaving."""

    _seconds: float = ROUND_SECONDS
    rounds: int = field(default=0, init=False)  # that were made
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
