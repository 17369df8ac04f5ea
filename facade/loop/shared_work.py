"""One piece of work, done in a task of its own, for every caller that waits for it.

A caller may be cancelled, the one that began the work included: the work goes on for the others. If
it fails, each caller gets its own instance of the failure.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Self, TypeVar

from attrs import define

from facade.loop.outcome import Failed, outcome_of
from shared.stopping import end_tasks

_Result = TypeVar("_Result")


@define(eq=False)
class SharedWork(Generic[_Result]):
    """Work under way, or done. For one event loop."""

    _task: asyncio.Task[_Result | Failed]

    @classmethod
    def begin(cls, work: Callable[[], Awaitable[_Result]]) -> Self:
        """Begin the work."""
        return cls(asyncio.create_task(outcome_of(work)))

    async def result(self) -> _Result:
        """Return what the work returns, or raise what it raises."""
        outcome = await self.outcome()
        if isinstance(outcome, Failed):
            raise outcome.own()
        return outcome

    async def outcome(self) -> _Result | Failed:
        """Return how the work ends."""
        task = self._task
        return task.result() if task.done() else await asyncio.shield(task)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or was cancelled."""
        return self._task.done()

    @property
    def outcome_nowait(self) -> _Result | Failed | None:
        """How the work has ended; None if it has not, or was cancelled."""
        return self._task.result() if self._task.done() and not self._task.cancelled() else None

    def when_over(self, tell: Callable[[_Result | Failed], None]) -> None:
        """Call `tell` with the outcome, unless the work is cancelled."""

        def told(task: asyncio.Task[_Result | Failed]) -> None:
            if not task.cancelled():
                tell(task.result())

        self._task.add_done_callback(told)

    def cancel(self) -> None:
        """Have the work end soon."""
        self._task.cancel()

    async def end(self) -> None:
        """End the work, and wait for its end."""
        await end_tasks(self._task)
