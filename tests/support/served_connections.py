"""The connections that a test's own server has open: a task serves each, and all end together."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from attrs import define, field


@define(eq=False)
class ServedConnections:
    """Those of one server. For one event loop."""

    _tasks: set[asyncio.Task[None]] = field(factory=set, init=False)

    def __len__(self) -> int:
        """How many are open."""
        return len(self._tasks)

    def begin(self, serving: Coroutine[Any, Any, None], let_go: Callable[[], None]) -> None:
        """Serve one; at its end, however that comes, let go of its socket."""
        task = asyncio.get_running_loop().create_task(serving)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Not by the task itself: one that is cancelled before its first step does nothing.
        task.add_done_callback(lambda _: let_go())

    async def end(self) -> None:
        """End all."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
