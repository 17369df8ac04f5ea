"""Watches whether an arrival comes fast enough to keep its room, and whether it has to make way.

A slow arrival claims no more room than for what has come, and is marked as slow. It goes on
arriving, unless somebody finds no room: then it is asked to make way.
"""

import asyncio
import time
from typing import Final

from attrs import define, field, frozen

from facade.arrivals.claimed_room import ClaimedRoom
from facade.loop.thread_work import finish_in_thread
from facade.store.ingest_file import OwnedIngest
from shared.oci import Digest
from shared.structured_log import get_logger

LOOK_SECONDS: Final = 5.0  # whoever found no room streams in the meantime
SLOW_WINDOW_SECONDS: Final = 60.0
SLOW_BYTES: Final = 4 * 1024 * 1024  # within a window: half a Mbit/s

_log = get_logger("facade.claim_watch")


@frozen
class WatchTimes:
    """How often an arrival is looked at, and what is slow."""

    look_seconds: float = LOOK_SECONDS
    window_seconds: float = SLOW_WINDOW_SECONDS
    slow_bytes: int = SLOW_BYTES


@define(eq=False)
class ClaimWatch:
    """The watch over one arrival."""

    _digest: Digest
    _ingest: OwnedIngest
    _room: ClaimedRoom
    _times: WatchTimes
    _size: int = field(default=0, init=False)  # when the window began
    _began_at: float = field(factory=time.monotonic, init=False)

    async def is_asked_to_make_way(self) -> bool:
        """Return True once the arrival has to give up its room; False if it cannot be watched."""
        self._size = self._ingest.allocated
        while True:
            await asyncio.sleep(self._times.look_seconds)
            try:
                if await self._look():
                    return True
            except OSError as error:  # whoever writes finds out that the disk fails
                self._tell(error)
            except Exception as error:  # noqa: BLE001 - nothing that is watched ends for it
                self._tell(error)
                return False

    def _tell(self, error: Exception) -> None:
        reason = type(error).__name__
        _log.warning("arrival not watched", digest=self._digest, reason=reason)

    async def _look(self) -> bool:
        if await finish_in_thread(self._is_asked):
            return True
        if time.monotonic() - self._began_at >= self._times.window_seconds:
            size = self._ingest.allocated
            is_slow = size - self._size < self._times.slow_bytes
            self._size, self._began_at = size, time.monotonic()
            await finish_in_thread(self._mark, is_slow)
            if is_slow:
                await self._room.let_go_of_spare()
        return False

    def _is_asked(self) -> bool:
        return self._ingest.is_asked_to_make_way

    def _mark(self, is_slow: bool) -> None:  # noqa: FBT001 - a thread is given no keywords
        self._ingest.mark_slow(is_slow=is_slow)
