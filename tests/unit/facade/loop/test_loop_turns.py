"""Steps of many tasks, of which a few are taken in one turn of the loop."""

import asyncio

from facade.loop.loop_turns import LoopTurns

TASKS, STEPS = 20, 5


async def test_in_one_turn_of_the_loop_only_a_few_steps_are_taken() -> None:
    """And in the order in which they were waited for: nobody is passed over."""
    turns, taken, in_a_turn = LoopTurns(3), [0] * TASKS, list[int]()

    async def work(task: int) -> None:
        for _ in range(STEPS):
            await turns.next()
            taken[task] += 1
            assert max(taken) - min(taken) <= 1

    working = asyncio.gather(*(work(task) for task in range(TASKS)))
    while not working.done():
        before = sum(taken)
        await asyncio.sleep(0)
        in_a_turn.append(sum(taken) - before)
    await working
    assert taken == [STEPS] * TASKS
    assert max(in_a_turn) == 3


async def test_whoever_has_left_takes_nobodys_step() -> None:
    """Those behind it go on."""
    turns = LoopTurns(1)
    left = [asyncio.ensure_future(turns.next()) for _ in range(3)]
    stays = asyncio.ensure_future(turns.next())
    await asyncio.sleep(0)
    for each in left:
        each.cancel()
    await stays
    assert await asyncio.gather(*left, return_exceptions=True)
