"""Refusals that a device repeats: the first have lines of their own, then one a second has.

The rest are told together, in one line a minute with their number.

A device can have itself refused as often as it asks. A line for each would fill a disk.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from shared.bounded_map import BoundedMap
from shared.pace import Pace

TOLD_AT_ONCE: Final = 1000  # of one device, status and reason, after a rest; a whole rollout's
TOLD_PER_SECOND: Final = 1.0
TOGETHER_SECONDS: Final = 60.0  # between two lines that tell of the rest
MAX_KINDS: Final = 8192  # some 700 bytes each
MAX_KINDS_OF_ONE_DEVICE: Final = 64  # there are some thirty reasons


@frozen
class RefusalKind:
    """What is put together."""

    device: str
    status: int
    reason: str


@define(eq=False)
class _Counted:
    pace: Pace  # of lines of their own
    together: int = 0


@define(eq=False)
class RepeatedRefusals:
    """What devices had refused lately. For one event loop."""

    _tell: Callable[[RefusalKind, int], None]  # how many more there were
    _together_seconds: float = TOGETHER_SECONDS
    _clock: Callable[[], float] = time.monotonic
    _counted: BoundedMap[RefusalKind, _Counted] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with none."""
        self._counted = BoundedMap(MAX_KINDS, max_share=MAX_KINDS_OF_ONE_DEVICE)

    def is_told(self, kind: RefusalKind) -> bool:
        """Count a refusal; tell whether it has a line of its own."""
        counted = self._counted.get(kind)
        if counted is None:
            counted = _Counted(Pace(TOLD_PER_SECOND, TOLD_AT_ONCE, self._clock))
            self._counted.set(kind, counted, owner=kind.device)
        if counted.pace.take_now(1):
            return True
        if not counted.together:  # the timer holds the count, whatever the map forgets
            loop = asyncio.get_running_loop()
            loop.call_later(self._together_seconds, self._tell_together, kind, counted)
        counted.together += 1
        return False

    def _tell_together(self, kind: RefusalKind, counted: _Counted) -> None:
        count, counted.together = counted.together, 0
        self._tell(kind, count)
