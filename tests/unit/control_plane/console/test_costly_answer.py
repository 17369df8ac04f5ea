"""An answer that is worked out again only so often."""

import asyncio

import pytest
from attrs import define, field

from control_plane.console.costly_answer import FRESH_SECONDS, SHARE, CostlyAnswer
from tests.support.clock import Clock
from tests.support.eventually import some_turns


@define
class Work:
    """Counts how often it was done; each time takes so many seconds of the clock."""

    clock: Clock
    seconds: float
    count: int = field(default=0, init=False)
    fails: bool = field(default=False, init=False)

    async def __call__(self) -> int:
        """Return how often it was done."""
        await asyncio.sleep(0)
        self.clock.advance(self.seconds)
        if self.fails:
            raise OSError
        self.count += 1
        return self.count


async def test_what_takes_little_time_is_always_fresh() -> None:
    """Nobody sees what was before their own act."""
    clock = Clock()
    answer = CostlyAnswer(Work(clock, FRESH_SECONDS / 2), clock)
    assert [await answer.get() for _ in range(3)] == [1, 2, 3]


async def test_those_who_come_together_share_one() -> None:
    """However many they are."""
    clock = Clock()
    answer = CostlyAnswer(Work(clock, 0.0), clock)
    assert await asyncio.gather(*(answer.get() for _ in range(5))) == [1] * 5


async def test_what_takes_long_is_given_as_it_was_and_worked_out_beside() -> None:
    """For a twentieth of the time."""
    clock = Clock()
    work = Work(clock, 1.0)
    answer = CostlyAnswer(work, clock)
    assert [await answer.get() for _ in range(3)] == [1, 1, 1]
    clock.advance(SHARE + 0.5)
    assert await answer.get() == 1
    await some_turns()
    assert [await answer.get() for _ in range(2)] == [2, 2]


async def test_work_that_fails_leaves_the_last_answer() -> None:
    """Whoever waits for the first one is told."""
    clock = Clock()
    work = Work(clock, 1.0)
    work.fails = True
    answer = CostlyAnswer(work, clock)
    with pytest.raises(OSError, match=r"^$"):
        await answer.get()
    work.fails = False
    assert await answer.get() == 1
    work.fails = True
    clock.advance(SHARE + 0.5)
    assert await answer.get() == 1
    await some_turns()
    assert await answer.get() == 1
