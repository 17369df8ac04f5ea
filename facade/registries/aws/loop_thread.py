"""An event loop in a thread of its own, for libraries that block the loop that they run on."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class LoopThread:
    """Runs coroutines for callers in other loops."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @classmethod
    @asynccontextmanager
    async def started(cls, name: str) -> AsyncIterator["LoopThread"]:
        """Give the thread; what still runs in it on leaving is cancelled."""
        started = cls(name)
        started._thread.start()
        try:
            yield started
        finally:
            started._loop.call_soon_threadsafe(started._loop.stop)
            await asyncio.to_thread(started._thread.join)

    async def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Return what the work returns or raises; cancelled here, it is cancelled there."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()  # the runner's end cancels what is left
