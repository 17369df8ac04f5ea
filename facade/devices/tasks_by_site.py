"""Work for peers of whom only the network address is known, bounded."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from attrs import define, field

from facade.devices.by_site import BySite
from shared.supervised import tell_of_failure


@define(eq=False)
class TasksBySite:
    """Tasks under way, bounded. The oldest one of the site with the most gives way."""

    _limit: int
    _tasks: BySite[asyncio.Task[None]] = field(factory=BySite, init=False)

    @property
    def count(self) -> int:
        """How many there are."""
        return self._tasks.count

    def begin(self, work: Coroutine[Any, Any, None], site: str) -> asyncio.Task[None]:
        """Run a task for a peer of this site."""
        if self.count >= self._limit:
            most = self._tasks.site_with_most
            oldest = self._tasks.oldest_of(most)
            self._tasks.remove(oldest, most)  # its place is free at once
            oldest.cancel()
        task = asyncio.create_task(work)
        self._tasks.add(task, site)
        task.add_done_callback(lambda done: self._tasks.remove(done, site))
        task.add_done_callback(tell_of_failure)
        return task

    def give_up_all(self) -> None:
        """End every one."""
        for task in self._tasks.all():
            task.cancel()
