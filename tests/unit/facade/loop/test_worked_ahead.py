"""What is worked on ahead comes in order, is bounded, and leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from facade.loop.worked_ahead import worked_ahead


async def each_of(items: Iterable[int]) -> AsyncIterator[int]:
    """Yield some items, as a reader does."""
    for item in items:
        await asyncio.sleep(0)
        yield item


@define
class Work:
    """Work that takes as many rounds of the loop as its item says."""

    fails_at: int | None = None
    under_way: int = 0
    most: int = 0
    begun: list[int] = field(factory=list)

    async def double(self, item: int) -> int:
        """Return the item twice."""
        self.begun.append(item)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            for _ in range(item):
                await asyncio.sleep(0)
        finally:
            self.under_way -= 1
        if item == self.fails_at:
            raise ValueError(item)
        return 2 * item


@given(st.lists(st.integers(0, 9)), st.integers(1, 4))
def test_results_come_in_order_and_so_many_are_worked_on_at_once(
    items: list[int], at_once: int
) -> None:
    """However long each takes."""
    work = Work()

    async def results() -> list[int]:
        return [each async for each in worked_ahead(each_of(items), work.double, at_once)]

    assert asyncio.run(results()) == [2 * item for item in items]
    assert work.begun == items
    assert work.most <= at_once


async def test_later_items_are_worked_on_while_an_earlier_one_takes_long() -> None:
    """That is what it is for."""
    work = Work()
    [_ async for _ in worked_ahead(each_of([50, 30, 30, 30]), work.double, 3)]
    assert work.most == 3


async def test_a_failure_ends_it_and_nothing_goes_on() -> None:
    """The caller hears of it in the failed item's turn."""
    work = Work(fails_at=2)
    results = worked_ahead(each_of([1, 2, 30, 4, 5, 6]), work.double, 3)
    assert await anext(results) == 2
    with pytest.raises(ValueError, match="2"):
        await anext(results)
    assert work.begun == [1, 2, 30, 4]
    assert work.under_way == 0


async def test_a_caller_that_stops_leaves_nothing_under_way() -> None:
    """Nor anything that nobody waits for."""
    work = Work()
    async with aclosing(worked_ahead(each_of(range(20, 30)), work.double, 3)) as results:
        assert await anext(results) == 40
    assert work.begun == [20, 21, 22]
    assert work.under_way == 0
