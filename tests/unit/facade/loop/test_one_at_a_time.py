"""Work in a thread goes on beside the loop, one piece after the other."""

import asyncio
import threading

import pytest
from attrs import define, field

from facade.loop.one_at_a_time import OneAtATime
from tests.support.eventually import PATIENCE_SECONDS, eventually


@define
class Work:
    """Work that counts how much of it is done at once."""

    may_end: threading.Event = field(factory=threading.Event)
    under_way: int = 0
    most: int = 0
    order: list[int] = field(factory=list)
    threads: set[int] = field(factory=set)

    def __call__(self, number: int) -> int:
        """Do a piece of it, as soon as it may end."""
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.threads.add(threading.get_ident())
        assert self.may_end.wait(PATIENCE_SECONDS)
        self.order.append(number)
        self.under_way -= 1
        return number


async def test_pieces_follow_each_other() -> None:
    """In the order in which they were asked for, and never on the loop."""
    turns, work = OneAtATime(), Work()
    asked = [asyncio.create_task(turns.run(work, number)) for number in range(8)]
    await eventually(lambda: work.under_way > 0)
    work.may_end.set()
    assert await asyncio.gather(*asked) == work.order == list(range(8))
    assert work.most == 1
    assert threading.get_ident() not in work.threads


async def test_who_leaves_or_fails_is_nobody_else_s_matter() -> None:
    """The next one has its turn."""
    turns, work = OneAtATime(), Work()
    first = asyncio.create_task(turns.run(work, 1))
    left = asyncio.create_task(turns.run(work, 2))
    await asyncio.sleep(0)
    left.cancel()
    work.may_end.set()
    with pytest.raises(ZeroDivisionError):
        await turns.run(lambda: 1 // 0)
    assert await first == 1
    assert await turns.run(work, 3) == 3
    assert work.order == [1, 3]
