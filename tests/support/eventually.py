"""Waits for something that happens elsewhere: within a bound, and no longer than it takes."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.005
TURNS = 20  # more than a task's end, or bytes that lie in a socket, take
TURN_SECONDS = 0.001  # the least that uvloop makes a timer of
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


async def some_turns() -> None:
    """Let the loop go round some times, and look at its sockets and timers each time.

    A time alone may pass in one turn: a busy machine stops the whole process for as long.
    """
    for _ in range(TURNS):
        await asyncio.sleep(TURN_SECONDS)
