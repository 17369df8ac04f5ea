"""Who reads along with a flight, and how far it goes on when the last one has left.

It goes on for a grace period if two devices wanted it, or if one had waited for much of it. It goes
no further than they had asked for; for a single device, no further than twice what had come.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final

from attrs import define, field

from facade.arrivals.arrival import Progress
from facade.arrivals.grace import GRACE_DEVICES, Grace

ELSEWHERE_SECONDS: Final = 0.5  # until it is looked again whether another process reads it


@define(eq=False)
class FlightReaders:
    """Those of one flight. For one event loop."""

    _grace: Grace
    count: int = field(default=0, init=False)
    _devices: set[str] = field(factory=set, init=False)  # `GRACE_DEVICES` of those that joined
    _goes_on_to: float = field(default=math.inf, init=False)  # bytes, while nobody reads it
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    @property
    def are_of_several_devices(self) -> bool:
        """Whether so many have wanted it that it is worth more than others."""
        return len(self._devices) >= GRACE_DEVICES

    def have_enough(self, progress: Progress | None) -> bool:
        """Tell whether nobody reads it and what was asked for has come, unless that is all of it.

        `progress`: from when they may read on.
        """
        if progress is not None and progress.is_ahead:
            return False  # asked again once that is written: what came is kept
        reached, length = (progress.come.count, progress.length) if progress else (0, None)
        return self._goes_on_to <= reached and reached != length

    def join(self, device: str) -> None:
        """Note one more."""
        if len(self._devices) < GRACE_DEVICES:
            self._devices.add(device)
        self.count += 1
        self._goes_on_to = math.inf
        self.stop_timer()

    def leave(self) -> None:
        """Note that one has left."""
        self.count -= 1

    def begin_grace(self, progress: Progress | None, stop: Callable[[], None]) -> None:
        """Note that the last one has left: `stop` is called after the grace period."""
        reached, wanted = (progress.come.count, progress.wanted) if progress else (0, 0)
        self._goes_on_to = self._grace.end(len(self._devices), reached, wanted)
        if progress is not None:
            progress.is_left = True
        self._call_later(self._grace.seconds, stop)

    def wait_for_others(self, look: Callable[[], None]) -> None:
        """Have `look` called in a moment, because another process reads it."""
        self._call_later(ELSEWHERE_SECONDS, look)

    def stop_timer(self) -> None:
        """Have nothing called any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, call)
