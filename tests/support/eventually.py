"""Waits for something that happens elsewhere: within a bound, and no longer than it takes."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.005
PATIENCE_SECONDS = 60.0  # a machine on which much else runs; only a test that fails takes as long


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]], seconds: float = PATIENCE_SECONDS
) -> None:
    """Return once the condition holds; raise `AssertionError` when the seconds have passed.

    The condition is asked at least once after the time, so that a slow machine fails nothing.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        is_last = loop.time() >= deadline
        holds = condition()
        if inspect.isawaitable(holds):
            holds = await holds
        if holds:
            return
        if is_last:
            raise AssertionError(f"not within {seconds} s")
        await asyncio.sleep(POLL_SECONDS)
