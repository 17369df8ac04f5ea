"""Work on many items in slices, so that the event loop can do other work in between."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

SLICE_ITEMS: Final = 8  # some ms: a connection has two or three signatures to verify, 0.1 ms each

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


async def in_slices(
    items: Sequence[_Item], work: Callable[[_Item], _Result], at_once: int = SLICE_ITEMS
) -> list[_Result]:
    """Return what the work makes of each item, in their order."""
    results = list[_Result]()
    for start in range(0, len(items), at_once):
        results += map(work, items[start : start + at_once])
        await asyncio.sleep(0)
    return results
