"""Work in a thread, one piece after the other, in the order in which it was asked for.

Python code runs in one thread at a time. Several threads would get no more done, and the loop would
have to wait behind each of them.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from attrs import define, field

from facade.loop.thread_work import finish_in_thread

_Result = TypeVar("_Result")


@define(eq=False)
class OneAtATime:
    """Calls functions in a thread, one at a time. For one event loop."""

    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    def taken(self) -> AbstractAsyncContextManager[None]:
        """Take a turn: no function is called in the meantime."""
        return self._turn

    async def run(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """Return what the function returns, or raise what it raises."""
        async with self.taken():
            return await finish_in_thread(function, *arguments)
