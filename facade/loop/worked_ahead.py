"""Work on items ahead of whoever takes the results: in order, so many at once."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


async def worked_ahead(
    items: AsyncIterator[_Item],
    work: Callable[[_Item], Coroutine[Any, Any, _Result]],
    at_once: int,
) -> AsyncGenerator[_Result, None]:
    """Yield what `work` makes of each item, in their order; so many are worked on at once.

    If one fails, or the caller stops, no more is begun, and what is under way is waited for.
    """
    under_way = deque[asyncio.Task[_Result]]()
    try:
        async for item in items:
            under_way.append(asyncio.create_task(work(item)))
            if len(under_way) == at_once:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for each in under_way:
            each.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
