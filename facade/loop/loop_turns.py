"""Work in small steps, of which only a few are taken in one turn of the event loop.

A step that ends with `asyncio.sleep(0)` lets others go first. But if a hundred tasks work in such
steps, each of the others waits for a hundred steps. Here it waits for `per_turn` of them.
"""

import asyncio
from collections import deque

from attrs import define, field


@define(eq=False)
class LoopTurns:
    """Those who wait to take their next step, in their order. For one event loop."""

    _per_turn: int
    _waiting: deque[asyncio.Future[None]] = field(factory=deque, init=False)

    async def next(self) -> None:
        """Return in a later turn of the loop, when the next step may be taken."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._let_some_go)
        step = loop.create_future()
        self._waiting.append(step)
        await step

    def _let_some_go(self) -> None:
        left = self._per_turn
        while left and self._waiting:
            step = self._waiting.popleft()
            if not step.done():  # not cancelled
                step.set_result(None)
                left -= 1
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._let_some_go)
