"""Work beside the requests has an owner: an exception that nobody foresaw ends no process.

`Supervisor.keep` runs work that goes on for ever. If it fails, the owner logs the failure with its
traceback, counts it, waits, and starts the work again. `Supervisor.watch` takes what callbacks of
the loop raise: timers, signal handlers, callbacks of tasks. `tell_of_failure` hands it the failure
of a task for whose result perhaps nobody waits.

What does end a process, and why. There is nothing else:

- SIGTERM and SIGINT: it was asked to stop; if it is asked again, it ends at once. A facade that
  cannot stop, because a disk does not answer, is ended some time after its drain timeout
  (`facade/serving/end_in_time.py`).
- At the start, before anybody is served: a setting, a file that a setting names or a state folder
  that cannot be used (exit 2), or an address that cannot be listened on (exit 1). Otherwise it
  would serve something else than its operator wrote; and whoever started it sees the end at once.
- SIGHUP before Python runs our first line, SIGKILL, a kernel without memory: nobody owns these.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from attrs import define, field

from shared.jitter import jittered
from shared.structured_log import get_logger

FIRST_PAUSE_SECONDS: Final = 0.5  # jittered; what was wrong for a moment is over by then
MAX_PAUSE_SECONDS: Final = 30.0  # jittered; what stays wrong costs two tries a minute
STEADY_SECONDS: Final = 60.0  # after so long without a failure it counts as over
LINES_A_MINUTE: Final = 10  # of each name: a callback may fail a thousand times a second
CALLBACKS: Final = "callbacks"  # the name under which what the loop's callbacks raise is counted

_MINUTE_SECONDS: Final = 60.0
# They end the process by themselves, and are meant to.
_ENDS_OF_A_PROCESS: Final = (SystemExit, KeyboardInterrupt, GeneratorExit)
_log = get_logger(__name__)

Endless = Callable[[], Awaitable[None]]


@define(eq=False)
class _Failing:
    """What is known of the failures of one name."""

    kind: str  # the type of the last one
    at: float  # monotonic
    minute_began: float
    lines: int = 0
    untold: int = 0


@define(eq=False)
class Supervisor:
    """Owns the background work of one process. For one event loop."""

    _count: Callable[[str], None] = lambda _: None  # is told the name of what failed
    _clock: Callable[[], float] = time.monotonic
    _failing: dict[str, _Failing] = field(factory=dict, init=False)

    def keep(self, name: str, work: Endless) -> asyncio.Task[None]:
        """Run work that never ends; the caller cancels the task. Work that returns has ended.

        `name` is a label of a metric: one of a small fixed set.
        """
        return asyncio.create_task(self._kept(name, work))

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take what the callbacks of a loop raise."""
        loop.set_exception_handler(self._take)

    def failed(self, name: str, error: BaseException) -> None:
        """Log and count a failure that somebody has caught, and goes on after."""
        self._count(name)
        now = self._clock()
        failing = self._failing.setdefault(name, _Failing("", now, now))
        failing.kind, failing.at = type(error).__name__, now
        if now - failing.minute_began >= _MINUTE_SECONDS:
            failing.minute_began, failing.lines = now, 0
        if failing.lines >= LINES_A_MINUTE:
            failing.untold += 1
            return
        failing.lines += 1
        count, failing.untold = failing.untold + 1, 0
        _log.error("background work failed, it goes on", part=name, count=count, exc_info=error)

    def problems(self) -> Iterator[str]:
        """Yield in words what failed within the last `STEADY_SECONDS`; no message of a library."""
        now = self._clock()
        for name, failing in sorted(self._failing.items()):
            if now - failing.at < STEADY_SECONDS:
                yield f"{name} failed with {failing.kind}, the log says where; it is tried again"

    async def _kept(self, name: str, work: Endless) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = self._clock()
            if not await self._tried(name, work()):
                return
            if self._clock() - began >= STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(jittered(pause))
            pause = min(2 * pause, MAX_PAUSE_SECONDS)

    async def _tried(self, name: str, work: Awaitable[None]) -> bool:
        """Wait for the work; tell whether it failed."""
        try:
            await work
        except asyncio.CancelledError as error:
            if _is_being_cancelled():
                raise
            self.failed(name, error)  # what it waited for was cancelled, not the work itself
        except _ENDS_OF_A_PROCESS:
            raise
        except BaseException as error:  # noqa: BLE001 - this is the owner; and a panic of a library in Rust is no `Exception`
            self.failed(name, error)
        else:
            return False
        return True

    def _take(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what a callback raised. The loop's own message may quote anything, and is left out.

        Without an exception it is a warning of the loop's own, such as a transport left open.
        """
        error = context.get("exception")
        if isinstance(error, BaseException):
            self.failed(CALLBACKS, error)
        else:
            _log.warning("the event loop warns", part=CALLBACKS)


def tell_of_failure(task: asyncio.Task[Any]) -> None:
    """Tell the loop's owner at once if the task failed: a callback of tasks."""
    if not task.cancelled() and (error := task.exception()) is not None:
        report(error, task.get_loop())


def report(error: BaseException, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Tell the loop's owner of a failure that nobody foresaw, and that ends nothing here."""
    loop = loop or asyncio.get_running_loop()
    loop.call_exception_handler({"message": "background work failed", "exception": error})


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
