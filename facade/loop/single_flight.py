"""Work that several ask for at once, done once: what one asks, the others wait for.

Whoever leaves, the one who asked first included, leaves alone: the work goes on for the others. A
failure is everybody's who waits, and is not remembered: the next one to ask begins anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from attrs import define, field

from facade.loop.outcome import Failed, outcome_of
from shared.stopping import end_tasks

_Key = TypeVar("_Key", bound=Hashable)
_Result = TypeVar("_Result")


@define(eq=False)
class SingleFlight(Generic[_Key, _Result]):
    """Work under way, by what it is about. For one event loop."""

    _tasks: dict[_Key, asyncio.Task[_Result | Failed]] = field(factory=dict, init=False)

    def is_under_way(self, key: _Key) -> bool:
        """Tell whether somebody has asked for it already."""
        return key in self._tasks

    async def share(self, key: _Key, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return what the work returns, or raise what it raises; it begins where none is."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(self._run(key, work))
        outcome = await asyncio.shield(task)
        if isinstance(outcome, Failed):
            raise outcome.own()
        return outcome

    async def close(self) -> None:
        """End what is under way, and wait for its end."""
        await end_tasks(*self._tasks.values())

    async def _run(self, key: _Key, work: Callable[[], Awaitable[_Result]]) -> _Result | Failed:
        try:
            return await outcome_of(work())
        finally:
            del self._tasks[key]
