"""Work in threads. The store has threads of its own, and so has what access depends on.

A disk that hangs blocks every thread that waits for it. So the store's threads do nothing else, and
a revocation never waits behind them: reading statements, the state folder and changed files has
threads of its own, and so has reading who may read what. Everything else uses the loop's threads
(`asyncio.to_thread`).

A thread cannot be cancelled. If a task that awaits one is cancelled, it goes on and may close the
file that the thread still writes to; the descriptor's number may belong to another file by then. So
`finish_in_thread` waits for the thread's end even if it is cancelled.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeVar

from shared.structured_log import get_logger

# So many downloads write, and blobs are kept, at once; more of them wait for a thread. Two or three
# threads keep one core busy, and a disk gets at most so many requests at once.
STORE_THREADS: Final = 16
# One verifies rows, one those that the state folder remembers, one saves the state, one reads
# changed files and one makes TLS contexts. Each of these five runs once at a time, so if one hangs,
# the others still have a thread.
ACCESS_THREADS: Final = 5
INDEX_THREADS: Final = 1  # SQLite does one read at a time on a connection

_Result = TypeVar("_Result")
_log = get_logger("facade.thread_work")
# Of the whole process, as the loop's own are. A thread starts when it is first needed.
_store: Final = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store")
_access: Final = ThreadPoolExecutor(ACCESS_THREADS, thread_name_prefix="access")
_index: Final = ThreadPoolExecutor(INDEX_THREADS, thread_name_prefix="index")


async def in_store_thread(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Call a function that reads or writes the store in a thread, and return its result."""
    return await _in_thread(_store, function, *arguments)


async def in_access_thread(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Call a function that access depends on in a thread, and return its result."""
    return await _in_thread(_access, function, *arguments)


async def in_index_thread(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Call a function that reads who may read what in a thread, and return its result."""
    return await _in_thread(_index, function, *arguments)


async def finish_in_thread(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Do as `in_store_thread` does, but return only after the function's end, even if cancelled."""
    return await finish(_in_thread(_store, function, *arguments))


async def finish(work_begun: Coroutine[Any, Any, _Result] | asyncio.Future[_Result]) -> _Result:
    """Await something; return only after its end, even if cancelled."""
    work = asyncio.ensure_future(work_begun)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await until_done(work)
        if not work.cancelled() and work.exception() is not None:
            reason = type(work.exception()).__name__
            _log.warning("failed while being cancelled", reason=reason)
        raise
    finally:
        del work, work_begun  # it holds what it raised, which holds this frame


async def open_in_thread(
    open_: Callable[..., _Result], close: Callable[[_Result], None], *arguments: Any
) -> _Result:
    """Open something in a thread of the store, and return it.

    A caller that is cancelled does not wait for a disk that hangs: once opened, it is closed.
    """
    work = _in_thread(_store, open_, *arguments)

    def close_it(opened: asyncio.Future[_Result]) -> None:
        if not opened.cancelled() and opened.exception() is None:
            close_in_thread(close, opened.result())

    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        work.add_done_callback(close_it)
        raise
    finally:
        del work  # it holds what it raised, which holds this frame


def close_in_thread(close: Callable[[_Result], object], opened: _Result) -> None:
    """Close something in a thread of the store; the caller does not wait.

    Closing a deleted file for the last time makes the disk delete it, which takes time.
    """
    _store.submit(close, opened)


async def until_done(work: asyncio.Future[Any]) -> None:
    """Wait for the end of something, even if the wait is cancelled."""
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([work])


def _in_thread(
    threads: Executor, function: Callable[..., _Result], *arguments: Any
) -> asyncio.Future[_Result]:
    loop, work = asyncio.get_running_loop(), partial(copy_context().run, function, *arguments)
    return loop.run_in_executor(threads, work)
