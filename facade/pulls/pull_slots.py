"""How many pulls of one device are answered at once. Further ones wait for a slot, for some time.

Only the device's own pulls wait, in their order. A pull that was given its slot looks again at what
is approved, because it may have waited for longer than a revocation takes to have its effect.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from attrs import define, field

from facade.errors import PullError

WAIT_SECONDS: Final = 10.0  # clients give a registry 30 s and more to begin to answer


class TooManyPullsError(PullError):
    """The device has as many pulls under way as it may, and none ended in time."""


@define(eq=False)
class PullSlots:
    """The slots of all devices. For one event loop."""

    _limit: int
    _wait_seconds: float = WAIT_SECONDS
    _under_way: dict[str, int] = field(factory=dict, init=False)
    _waiting: dict[str, deque[asyncio.Future[None]]] = field(factory=dict, init=False)

    def is_free(self, device: str) -> bool:
        """Tell whether a slot could be taken at once."""
        return self._under_way.get(device, 0) < self._limit

    def take_nowait(self, device: str) -> bool:
        """Take a slot if one is free; then `give_back` has to be called once."""
        if not self.is_free(device):
            return False
        self._under_way[device] = self._under_way.get(device, 0) + 1
        return True

    @asynccontextmanager
    async def slot(self, device: str) -> AsyncIterator[None]:
        """Wait for a slot and take it; raise `TooManyPullsError`."""
        if not self.take_nowait(device):
            await self._wait(device)
        try:
            yield
        finally:
            self.give_back(device)

    async def _wait(self, device: str) -> None:
        """Wait in the queue. A pull that ends hands over its slot."""
        given = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(device, deque())
        queue.append(given)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await given
        except TimeoutError:
            self._leave(device, given)
            raise TooManyPullsError(f"{self._limit} pulls of the device are under way") from None
        except asyncio.CancelledError:
            self._leave(device, given)
            raise

    def _leave(self, device: str, given: asyncio.Future[None]) -> None:
        if given.done() and not given.cancelled():
            self.give_back(device)  # it was given a slot at the very moment it gave up
            return
        queue = self._waiting.get(device)
        if queue is not None and given in queue:
            queue.remove(given)
            if not queue:
                del self._waiting[device]

    def give_back(self, device: str) -> None:
        """Let go of a slot: whoever of the device waits longest has it."""
        queue = self._waiting.get(device)
        while queue:
            given = queue.popleft()
            if not queue:
                del self._waiting[device]
            if not given.done():
                given.set_result(None)
                return
        self._under_way[device] -= 1
        if not self._under_way[device]:
            del self._under_way[device]
