"""Hashes and writes what arrives, in a thread, while more of it comes.

A hop to a thread for every chunk took 7 CPU seconds a GiB (docs/decisions/arrivals.md). So they are
gathered, but for no longer than a device would notice: the first read of a socket is written at
once, because a device waits for its first byte, and then more each time. It holds twice its share
of the `GatherBudget` at most; then `put` waits.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from attrs import define, field

from facade.arrivals.gather_budget import GATHERED_BYTES, LEAST_GATHERED_BYTES, GatherBudget
from facade.loop.outcome import Failed, outcome_of
from facade.loop.thread_work import until_done
from shared.structured_log import get_logger

__all__ = ["GATHERED_BYTES", "GATHERED_SECONDS", "IngestWriter"]

GATHERED_SECONDS: Final = 0.05  # so that a slow registry's bytes are passed on as they come
GATHERED_FACTOR: Final = 4  # so much more each time, from one read of a socket on: two more hops

_log = get_logger("facade.ingest_writer")


@define(eq=False)
class IngestWriter:
    """Writes chunks in their order."""

    _write: Callable[[list[bytes]], Awaitable[None]]  # goes to its end even if it is cancelled
    _written: Callable[[], None]  # told after each write, on the loop
    _hold_seconds: float = GATHERED_SECONDS
    _budget: GatherBudget = field(factory=GatherBudget)
    _gathered: list[bytes] = field(factory=list, init=False)
    _gathered_bytes: int = field(default=0, init=False)
    _enough_bytes: int = field(default=LEAST_GATHERED_BYTES, init=False)  # to be written next
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)
    _writing: asyncio.Task[Failed | None] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Gather within the budget, until `stop`."""
        self._budget.join()

    async def put(self, chunk: bytes) -> None:
        """Take the next chunk; raise what writing an earlier one raised."""
        self._gathered.append(chunk)
        self._gathered_bytes += len(chunk)
        if self._gathered_bytes >= min(self._enough_bytes, self._budget.share):
            await self._until_written()
            self._start()
            self._enough_bytes = min(self._enough_bytes * GATHERED_FACTOR, GATHERED_BYTES)
        self._set_timer()

    async def settle(self) -> None:
        """Return when everything is written; raise what writing raised."""
        while self._gathered or self._writing is not None:
            await self._until_written()
            self._start()

    async def stop(self) -> None:
        """Write nothing more; return when the thread has let go of the file."""
        self._budget.leave()
        self._gathered.clear()
        self._cancel_timer()
        if self._writing is not None:
            await until_done(self._writing)
            if not self._writing.cancelled():
                outcome = self._writing.result()
                if isinstance(outcome, Failed):
                    _log.warning("last write failed", reason=outcome.name)

    async def _until_written(self) -> None:
        while (writing := self._writing) is not None:
            outcome = await asyncio.shield(writing)
            if isinstance(outcome, Failed):
                raise outcome.own()
            if self._writing is writing:  # if not, the timer has begun the next one
                self._writing = None

    def _in_time(self) -> None:
        self._timer = None
        if self._writing is None or _succeeded(self._writing):
            self._start()
        elif not self._writing.done():
            self._set_timer()  # the disk is slow; if it failed, the next `put` raises that

    def _start(self) -> None:
        """Begin to write what is gathered. Nothing else is being written."""
        self._cancel_timer()
        if not self._gathered:
            return
        chunks, self._gathered = self._gathered, []
        self._gathered_bytes = 0
        self._writing = asyncio.create_task(outcome_of(partial(self._write_all, chunks)))

    async def _write_all(self, chunks: list[bytes]) -> None:
        await self._write(chunks)
        self._written()

    def _set_timer(self) -> None:
        if self._timer is None and self._gathered:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._hold_seconds, self._in_time)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _succeeded(task: asyncio.Task[Failed | None]) -> bool:
    return task.done() and not task.cancelled() and task.result() is None
