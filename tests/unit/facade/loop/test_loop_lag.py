"""What stops the loop is seen."""

import asyncio
import time

from facade.loop.loop_lag import TICK_SECONDS, LoopLag

BLOCKED_SECONDS = 6 * TICK_SECONDS


async def test_a_blocked_loop_is_seen_once() -> None:
    """Also where nothing has ticked since; the next scrape begins anew."""
    with LoopLag() as lag:
        await asyncio.sleep(3 * TICK_SECONDS)
        lag.take_worst_seconds()
        time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251 - it is to block
        assert lag.take_worst_seconds() >= BLOCKED_SECONDS - 2 * TICK_SECONDS
        await asyncio.sleep(0)
        time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251 - it is to block
        await asyncio.sleep(3 * TICK_SECONDS)
        assert lag.take_worst_seconds() >= BLOCKED_SECONDS - 2 * TICK_SECONDS


async def test_a_loop_that_is_left_has_no_timer() -> None:
    """A facade that stops leaves nothing behind."""
    with LoopLag() as lag:
        await asyncio.sleep(2 * TICK_SECONDS)
    lag.take_worst_seconds()
    due = lag._due  # noqa: SLF001 - the timer has no other trace
    await asyncio.sleep(3 * TICK_SECONDS)
    assert lag._due == due  # noqa: SLF001
