"""An answer that is costly to work out: kept for a while, and worked out again beside its readers.

If it took little time, everybody is given a fresh one. If it took long, all are given the last one,
while a new one is worked out beside them: for a twentieth of the time at most.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from attrs import define, field

FRESH_SECONDS: Final = 0.1  # what a page may wait for
SHARE: Final = 20  # of the time, one part at most is spent on it

_Value = TypeVar("_Value")


@define(eq=False)
class CostlyAnswer(Generic[_Value]):
    """The last answer, and how long it took. For one event loop."""

    _work: Callable[[], Awaitable[_Value]]
    _monotonic: Callable[[], float] = time.monotonic
    _last: tuple[_Value, float, float] | None = field(default=None, init=False)  # at, seconds
    _working: asyncio.Task[_Value] | None = field(default=None, init=False)

    async def get(self) -> _Value:
        """Return the last answer if it took long, else a fresh one; raise what the work raises."""
        if self._last is not None:
            value, at, seconds = self._last
            if seconds > FRESH_SECONDS:
                if self._monotonic() > at + SHARE * seconds:
                    self._working = self._working or self._begun()
                return value
        self._working = self._working or self._begun()
        return await asyncio.shield(self._working)

    def _begun(self) -> asyncio.Task[_Value]:
        task = asyncio.create_task(self._worked())
        task.add_done_callback(self._has_ended)
        return task

    def _has_ended(self, task: asyncio.Task[_Value]) -> None:
        self._working = None
        if not task.cancelled():
            task.exception()  # whoever waited has raised it; the last answer stands

    async def _worked(self) -> _Value:
        began = self._monotonic()
        value = await self._work()
        now = self._monotonic()
        self._last = value, now, now - began
        return value
