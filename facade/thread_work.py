"""Work in a thread that is never left behind.

A thread cannot be cancelled. Who awaits `asyncio.to_thread` and is cancelled goes on, and closes
the file that the thread still writes: its descriptor's number may be another file's by then.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from shared.structured_log import get_logger

_Result = TypeVar("_Result")
_log = get_logger("facade.thread_work")


async def finish_in_thread(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Call a function in a thread and return its result; even cancelled, not before its end."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await until_done(work)
        if not work.cancelled() and (error := work.exception()) is not None:
            _log.warning("failed while being cancelled", reason=type(error).__name__)
        raise


async def until_done(work: asyncio.Future[Any]) -> None:
    """Wait for the end of something, whoever cancels the wait meanwhile."""
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([work])
