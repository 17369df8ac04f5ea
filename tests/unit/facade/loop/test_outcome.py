"""How shared work ended is known, and nothing of it is left."""

import asyncio
import gc
import warnings
from functools import partial

from facade.loop.outcome import Failed, outcome_of
from tests.support.leftovers import leftovers


async def wait(own: list[asyncio.Task[Failed | None]]) -> None:
    """Wait for ever, with one's own task in a variable, as a blob's stream has it."""
    assert own
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)


async def test_work_that_was_cancelled_leaves_nothing() -> None:
    """Its task keeps the `CancelledError`, and that kept the frames, with what they had read."""
    with leftovers() as left:
        own = list[asyncio.Task[Failed | None]]()
        own.append(asyncio.create_task(outcome_of(partial(wait, own))))
        await asyncio.sleep(0)
        own[0].cancel()
        await asyncio.wait(own)
        assert own[0].cancelled()
        del own
    assert left.frames == []


async def test_work_that_was_cancelled_while_it_failed_leaves_nothing() -> None:
    """The failure is the context of the `CancelledError`."""

    async def fail(own: list[asyncio.Task[Failed | None]]) -> None:
        try:
            raise ValueError("no")
        finally:
            await wait(own)

    with leftovers() as left:
        own = list[asyncio.Task[Failed | None]]()
        own.append(asyncio.create_task(outcome_of(partial(fail, own))))
        await asyncio.sleep(0)
        own[0].cancel()
        await asyncio.wait(own)
        del own
    assert left.frames == []


async def test_work_that_was_cancelled_before_it_began_is_not_begun() -> None:
    """Its coroutine was made already, and never awaited, which Python tells of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        task = asyncio.create_task(outcome_of(partial(wait, list[asyncio.Task[Failed | None]]())))
        task.cancel()
        await asyncio.wait([task])
        gc.collect()
    assert task.cancelled()
    assert told == []
