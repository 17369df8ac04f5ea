"""Work that several callers ask for at once is done once, and all of them wait for it.

Neither a result nor a failure is remembered: the next caller begins the work again. `SharedWork`
says what happens when a caller is cancelled, and when the work fails.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from attrs import define, field

from facade.loop.shared_work import SharedWork

_Key = TypeVar("_Key", bound=Hashable)
_Result = TypeVar("_Result")


@define(eq=False)
class SingleFlight(Generic[_Key, _Result]):
    """Work under way, by key. For one event loop."""

    _works: dict[_Key, SharedWork[_Result]] = field(factory=dict, init=False)

    def is_under_way(self, key: _Key) -> bool:
        """Tell whether the work of a key is under way."""
        return key in self._works

    async def share(self, key: _Key, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return what the work returns, or raise what it raises; begin it if need be."""
        shared = self._works.get(key)
        if shared is None:
            shared = self._works[key] = SharedWork.begin(lambda: self._run(key, work))
        return await shared.result()

    async def close(self) -> None:
        """Cancel all work, and wait for its end."""
        await asyncio.gather(*(each.end() for each in self._works.values()))

    async def _run(self, key: _Key, work: Callable[[], Awaitable[_Result]]) -> _Result:
        try:
            return await work()
        finally:
            del self._works[key]
