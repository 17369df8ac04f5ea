"""How often the operations address is answered, because answers take time from devices.

It asks nobody who they are, and whoever asks in loops is answered as slowly as a probe can bear:
nobody is refused, because a probe that fails ends the process. Metrics cost most, and rest after
each scrape; who asks meanwhile gets the next one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from attrs import define, field

from shared.pace import Pace

ANSWERED_PER_SECOND: Final = 200.0  # 0.2 ms each; probes and scrapers need one or two
ANSWERED_AT_ONCE: Final = 1000  # after a rest
PAUSE_SECONDS: Final = 0.5  # before each further answer; Kubernetes waits for a probe for 1 s
REST_TIMES: Final = 3.0  # as long as a scrape has worked: a quarter of the loop's time at most
MOST_REST_SECONDS: Final = 0.5  # others' work counts, too, while they have their turn


@define(eq=False)
class OperationsPace:
    """Of one address. For one event loop."""

    _clock: Callable[[], float] = time.monotonic
    _worked: Callable[[], float] = time.thread_time  # seconds of a processor that the loop has had
    _pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    _answers: Pace = field(init=False)
    _rests_until: float = field(default=float("-inf"), init=False)

    def __attrs_post_init__(self) -> None:
        """Begin rested."""
        self._answers = Pace(ANSWERED_PER_SECOND, ANSWERED_AT_ONCE, self._clock)

    async def until_due(self, pause: Callable[[float], Awaitable[None]]) -> None:
        """Wait before an answer, if there were many. `pause` is given seconds."""
        if not self._answers.take_now(1):
            await pause(PAUSE_SECONDS)

    async def scraped(self, scrape: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return what a scrape gives, once the one before has been rested from."""
        await self._pause(max(0.0, self._rests_until - self._clock()))
        began = self._worked()
        try:
            return await scrape()
        finally:
            rest = REST_TIMES * (self._worked() - began)
            self._rests_until = self._clock() + min(rest, MOST_REST_SECONDS)
