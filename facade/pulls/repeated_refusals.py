"""Refusals that a device repeats: the first of a minute are told one by one, the rest in one line.

A device can have itself refused as often as it asks. A line for each would fill a disk.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from shared.bounded_map import BoundedMap

WINDOW_SECONDS: Final = 60.0
TOLD_SINGLY: Final = 100  # of one device, status and reason in a minute; people read no more
MAX_KINDS: Final = 8192  # of a minute, some 500 bytes each
MAX_KINDS_OF_ONE_DEVICE: Final = 64  # there are some thirty reasons


@frozen
class RefusalKind:
    """What is put together."""

    device: str
    status: int
    reason: str


@define(eq=False)
class _Counted:
    singly: int = 0
    together: int = 0


@define(eq=False)
class RepeatedRefusals:
    """The refusals of the last minute. For one event loop."""

    _tell: Callable[[RefusalKind, int], None]  # how many more there were
    _window_seconds: float = WINDOW_SECONDS
    _counted: BoundedMap[RefusalKind, _Counted] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin with none."""
        self._counted = BoundedMap(
            MAX_KINDS, seconds=self._window_seconds, max_share=MAX_KINDS_OF_ONE_DEVICE
        )

    def is_told(self, kind: RefusalKind) -> bool:
        """Count a refusal; tell whether it has a line of its own."""
        counted = self._counted.get(kind)
        if counted is None:
            counted = _Counted()
            self._counted.set(kind, counted, owner=kind.device)
        if counted.singly < TOLD_SINGLY:
            counted.singly += 1
            return True
        if not counted.together:  # the timer holds the count, whatever the map forgets
            loop = asyncio.get_running_loop()
            loop.call_later(self._window_seconds, self._tell_together, kind, counted)
        counted.together += 1
        return False

    def _tell_together(self, kind: RefusalKind, counted: _Counted) -> None:
        count, counted.together = counted.together, 0
        self._tell(kind, count)
