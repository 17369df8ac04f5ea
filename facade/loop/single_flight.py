"""Work that several ask for at once, done once: what one asks, the others wait for.

Neither a result nor a failure is remembered: whoever asks next begins the work again. `SharedWork`
says what becomes of those who leave, and of a failure.
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
    """Work under way, by what it is about. For one event loop."""

    _works: dict[_Key, SharedWork[_Result]] = field(factory=dict, init=False)

    def is_under_way(self, key: _Key) -> bool:
        """Tell whether somebody has asked for it already."""
        return key in self._works

    async def share(self, key: _Key, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return what the work returns, or raise what it raises; it begins where none is."""
        shared = self._works.get(key)
        if shared is None:
            shared = self._works[key] = SharedWork.begin(lambda: self._run(key, work))
        return await shared.result()

    async def close(self) -> None:
        """End what is under way, and wait for its end."""
        await asyncio.gather(*(each.end() for each in self._works.values()))

    async def _run(self, key: _Key, work: Callable[[], Awaitable[_Result]]) -> _Result:
        try:
            return await work()
        finally:
            del self._works[key]
