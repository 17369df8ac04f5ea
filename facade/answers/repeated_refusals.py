"""Log lines of what a device repeats: the first ones have their own line, then one a second has.

The rest are told together, in one line a minute with their number.

A device can be refused as often as it asks, leave in the middle of any number of answers, and send
nonsense on any number of connections. A line for each would fill a disk.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from attrs import define, evolve, field, frozen

from shared.bounded_map import BoundedMap
from shared.pace import Pace

TOLD_AT_ONCE: Final = 1000  # of one device, status and reason, after a rest: a whole rollout
TOLD_PER_SECOND: Final = 1.0
TOGETHER_SECONDS: Final = 60.0  # between two lines that tell the rest
MAX_KINDS: Final = 8192  # some 700 bytes each
MAX_KINDS_OF_ONE_DEVICE: Final = 64  # there are some thirty reasons
OF_ONE_DEVICE_AT_ONCE: Final = 4000  # of any reasons, because some contain a registry's numbers
OF_ONE_DEVICE_PER_SECOND: Final = 4.0
MANY_REASONS: Final = "many reasons"
MAX_DEVICES: Final = 65_536  # some 400 bytes each


@frozen
class RefusalKind:
    """What is told together."""

    device: str
    status: int | None  # None: no whole answer
    reason: str


@define(eq=False)
class _Counted:
    pace: Pace  # of lines of their own
    together: int = 0


@define(eq=False)
class RepeatedRefusals:
    """What devices repeated lately. For one event loop."""

    _tell: Callable[[RefusalKind, int], None]  # how many more there were
    _together_seconds: float = TOGETHER_SECONDS
    _clock: Callable[[], float] = time.monotonic
    _counted: BoundedMap[RefusalKind, _Counted] = field(init=False)
    _of_device: BoundedMap[str, Pace] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with none."""
        self._counted = BoundedMap(MAX_KINDS, max_share=MAX_KINDS_OF_ONE_DEVICE)
        self._of_device = BoundedMap(MAX_DEVICES)

    def is_told(self, kind: RefusalKind) -> bool:
        """Count one; tell whether it has a line of its own."""
        counted = self._counted_of(kind)
        if counted.pace.take_now(1):
            if self._pace_of(kind.device).take_now(1):
                return True
            kind = evolve(kind, reason=MANY_REASONS)
            counted = self._counted_of(kind)
        if not counted.together:  # the timer holds the count, even if the map forgets it
            loop = asyncio.get_running_loop()
            loop.call_later(self._together_seconds, self._tell_together, kind, counted)
        counted.together += 1
        return False

    def _counted_of(self, kind: RefusalKind) -> _Counted:
        counted = self._counted.get(kind)
        if counted is None:
            counted = _Counted(Pace(TOLD_PER_SECOND, TOLD_AT_ONCE, self._clock))
            self._counted.set(kind, counted, owner=kind.device)
        return counted

    def _pace_of(self, device: str) -> Pace:
        pace = self._of_device.get(device)
        if pace is None:
            pace = Pace(OF_ONE_DEVICE_PER_SECOND, OF_ONE_DEVICE_AT_ONCE, self._clock)
            self._of_device.set(device, pace)
        return pace

    def _tell_together(self, kind: RefusalKind, counted: _Counted) -> None:
        count, counted.together = counted.together, 0
        self._tell(kind, count)
