"""Where the acts of one process wait for one another: first come, first served.

Whoever waits for the act lock in the database holds a connection of the pool. Whoever waits here
holds none.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from attrs import define, field

from control_plane.errors import ActsWaitingError

MAX_WAITING_ACTS: Final = 256  # a few seconds of acts if the database is 5 ms away
MAX_WAITING_SECONDS: Final = 10.0  # as long as an SQL statement may wait for the act lock


@define(eq=False)
class ActQueue:
    """Lets one act through at a time."""

    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _waiting: int = field(default=0, init=False)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Yield when it is this act's turn; raise `ActsWaitingError` if that takes too long."""
        if self._waiting >= MAX_WAITING_ACTS:
            raise ActsWaitingError
        self._waiting += 1
        try:
            async with asyncio.timeout(MAX_WAITING_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            raise ActsWaitingError from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()
