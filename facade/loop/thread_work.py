"""Work in threads: the store's in threads of its own, what decides about access in others.

A disk that hangs keeps every thread that waits for it. So the threads of the store are the store's
alone, and whether a device is revoked is never found out behind them: reading statements, the state
folder and changed files have their own. So has reading who may read what. All else
(`asyncio.to_thread`) has the loop's.

A thread cannot be cancelled. Who awaits one and is cancelled goes on, and closes the file that the
thread still writes: its descriptor's number may be another file's by then. So `finish_in_thread`
waits for the thread's end, whoever is cancelled.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeVar

from shared.structured_log import get_logger

# Downloads that write and blobs that are kept, at once; more of them wait for a thread. One core
# writes with two or three, and a disk is asked at most so much at once.
STORE_THREADS: Final = 16
# One verifies rows, one saves the state, one reads changed files and one makes TLS of them; each of
# these waits for its own last one, so that one that hangs keeps none of the others.
ACCESS_THREADS: Final = 4
INDEX_THREADS: Final = 1  # SQLite lets one read at a time on a connection

_Result = TypeVar("_Result")
_log = get_logger("facade.thread_work")
# Of the process, as the loop's own are; a thread begins when it is first needed.
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
    """Do as `in_store_thread` does; even cancelled, return not before the function's end."""
    return await finish(in_store_thread(function, *arguments))


async def finish(work_begun: Coroutine[Any, Any, _Result]) -> _Result:
    """Await something; even cancelled, return not before its end."""
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
        del work  # it holds what it raised, which holds this frame


async def open_in_thread(
    open_: Callable[..., _Result], close: Callable[[_Result], None], *arguments: Any
) -> _Result:
    """Open something in a thread of the store, and return it.

    Who is cancelled does not wait for a disk that hangs: what was opened is closed when it comes.
    """
    work = asyncio.ensure_future(in_store_thread(open_, *arguments))

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
    """Close something in a thread of the store, and let nobody wait for it.

    The last one to close a deleted file has the disk delete it.
    """
    _store.submit(close, opened)


async def until_done(work: asyncio.Future[Any]) -> None:
    """Wait for the end of something, whoever cancels the wait meanwhile."""
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([work])


async def _in_thread(
    threads: Executor, function: Callable[..., _Result], *arguments: Any
) -> _Result:
    loop, work = asyncio.get_running_loop(), partial(copy_context().run, function, *arguments)
    return await loop.run_in_executor(threads, work)
