"""Long work leaves the event loop to others."""

import asyncio
from itertools import pairwise

from control_plane.slices import SLICE_ITEMS, in_slices


async def test_others_have_a_turn_between_slices() -> None:
    """A page of 200 is twenty-five slices; each item is worked on once, in order."""
    turns, seen = list[int](), list[int]()

    async def other() -> None:
        while True:
            turns.append(len(seen))
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())

    def work(item: int) -> int:
        seen.append(item)
        return -item

    assert await in_slices(range(200), work) == [-each for each in range(200)]
    beside.cancel()
    between = [after - before for before, after in pairwise(turns)]
    assert max(between) <= SLICE_ITEMS
    assert len(turns) >= 200 // SLICE_ITEMS
