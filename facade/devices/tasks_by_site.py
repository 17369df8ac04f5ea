"""Work for peers of whom only the network address is known, counted by address."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from attrs import define, field

from shared.supervised import tell_of_failure


@define(eq=False)
class TasksBySite:
    """Tasks under way, bounded. The oldest one of the site with the most gives way."""

    _limit: int
    _by_site: dict[str, dict[asyncio.Task[None], None]] = field(factory=dict, init=False)
    count: int = field(default=0, init=False)

    @property
    def is_full(self) -> bool:
        """Whether the next one takes the place of another."""
        return self.count >= self._limit

    @property
    def site_with_most(self) -> str:
        """The site that has most of them, if there are any."""
        return max(self._by_site, key=lambda site: len(self._by_site[site]))

    def begin(self, work: Coroutine[Any, Any, None], site: str) -> asyncio.Task[None]:
        """Run a task for a peer of this site."""
        if self.is_full:
            _ = self.give_up_oldest_of(self.site_with_most)
        task = asyncio.create_task(work)
        self._by_site.setdefault(site, {})[task] = None
        self.count += 1
        task.add_done_callback(lambda done: self._forget(done, site))
        task.add_done_callback(tell_of_failure)
        return task

    def give_up_oldest_of(self, site: str) -> asyncio.Task[None]:
        """End this site's oldest task, and return it."""
        oldest = next(iter(self._by_site[site]))
        self.give_up(oldest, site)
        return oldest

    def give_up(self, task: asyncio.Task[None], site: str) -> None:
        """End a task. Its place is free at once."""
        self._forget(task, site)
        task.cancel()

    def give_up_all(self) -> None:
        """End every one."""
        for tasks in self._by_site.values():
            for task in tasks:
                task.cancel()

    def _forget(self, task: asyncio.Task[None], site: str) -> None:
        tasks = self._by_site.get(site, {})
        if task in tasks:
            del tasks[task]
            self.count -= 1
            if not tasks:
                del self._by_site[site]
