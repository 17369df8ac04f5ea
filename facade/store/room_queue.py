"""The queue of those who ask for room: one at a time on a machine, and nobody waits in a thread.

Within a process, they queue in the order in which they came. Only the first one asks for the
machine's lock, again and again, because another process does not tell when it is done. A thread
works only for the first one, and never waits for a lock. An eviction consists of slices, and
whoever needs another slice queues again, so that a large eviction does not keep others from what is
free.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from attrs import define, field, frozen

from facade.loop.thread_work import finish_in_thread
from facade.store.evictor import Asker, Evictor, NoRoomError, Wanted
from facade.store.file_lock import lock_exclusively
from facade.store.index import Index
from shared.own_files import open_own
from shared.structured_log import get_logger

EVICTOR_WAIT_SECONDS: Final = 0.01  # until another process has had its turn
# Between two slices of one eviction, so that another process finds the lock free.
REST_SECONDS: Final = 2 * EVICTOR_WAIT_SECONDS

_Result = TypeVar("_Result")
_log = get_logger("facade.store")


def nothing_to_look_at() -> None:
    """Find nothing that keeps anybody from claiming room."""


@frozen
class _Done(Generic[_Result]):
    result: _Result


@define(eq=False)
class RoomQueue:
    """The queue of one process. For one event loop."""

    _lock: Path  # of the machine
    _evictor: Evictor
    _index: Index
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _short: asyncio.Event = field(factory=asyncio.Event, init=False)
    _last_short: Asker | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Look once at the start: the quota may be less than it was."""
        self._short.set()

    async def as_only_one(self, act: Callable[[], _Result]) -> _Result:
        """Do something in a thread while nobody makes room, in any process.

        Raises what it raises. Once begun, it is finished before a cancellation is raised.
        """
        async with self._turn:
            while True:
                done: _Done[_Result] | None = await finish_in_thread(self._try, act)
                if done is not None:
                    return done.result
                await asyncio.sleep(EVICTOR_WAIT_SECONDS)

    async def admit(
        self,
        whole: int,
        first: int,
        claim: Callable[[int], None],
        asker: Asker,
        look: Callable[[], None] = nothing_to_look_at,
    ) -> None:
        """Do as `Evictor.admit` does, in turn. `look` is called first, in the same turn."""

        def admit() -> None:
            look()
            self._evictor.admit(whole, first, claim, asker)

        await self.as_only_one(admit)

    def may_hold(self, length: int) -> bool:
        """Tell what `Evictor.may_hold` tells, at once."""
        return self._evictor.may_hold(length)

    async def make_room(self, wanted: Wanted, claim: Callable[[int], None], asker: Asker) -> None:
        """Evict until `wanted.least` bytes more fit. Claim them, and the rest if it is free.

        `claim` is told of each grant before anybody else can take it. Raises `NoRoomError`, perhaps
        after some grants, and `OSError`.
        """
        while True:
            slice_wanted = wanted
            done = await self.as_only_one(
                lambda: self._evictor.make_room(slice_wanted, claim, asker)  # noqa: B023 - called here
            )
            if done.was_short:
                self._last_short = asker
                self._short.set()
            wanted = wanted.less(done.granted)
            if not wanted.least:
                return
            await asyncio.sleep(REST_SECONDS)

    async def relieve_disk(self, least: int, most: int, asker: Asker) -> None:
        """Free at least so many bytes, because the disk is fuller than the quota knows.

        Raises `NoRoomError` if there is nothing to free, and `OSError`.
        """
        freed = 0
        while freed < least:
            count = most - freed
            more = await self.as_only_one(lambda: self._evictor.relieve(count, asker))  # noqa: B023 - called here
            if not more:
                break
            freed += more
        if not freed:
            raise NoRoomError

    async def keep_spare(self) -> None:
        """Once somebody found too little room, free some in advance, until cancelled."""
        while True:
            await self._short.wait()
            self._short.clear()
            try:
                await self._have_spare()
            except OSError as error:  # whoever needs room next is told of it
                _log.warning("no room made ahead", reason=type(error).__name__)

    async def _have_spare(self) -> None:
        """Free a slice at a time, half of the time at most. First shrink the index."""
        while await finish_in_thread(self._index.shrink):
            pass
        while True:
            began = time.monotonic()
            if not await self.as_only_one(lambda: self._evictor.evict_ahead(self._last_short)):
                return
            await asyncio.sleep(max(REST_SECONDS, time.monotonic() - began))

    def _try(self, act: Callable[[], _Result]) -> _Done[_Result] | None:
        """Do it; None if another process has its turn. Blocks no longer than the act."""
        descriptor = open_own(self._lock, os.O_RDWR | os.O_CREAT)
        try:
            return _Done(act()) if lock_exclusively(descriptor) else None
        finally:
            os.close(descriptor)
