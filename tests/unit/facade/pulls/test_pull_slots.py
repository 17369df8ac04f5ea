"""A device's pulls beyond its number wait for their turn, in order, and not for ever."""

import asyncio
import random

import pytest

from facade.pulls.pull_slots import PullSlots, TooManyPullsError


async def test_as_many_as_may_run_at_once_and_the_next_follow_in_order() -> None:
    """First come, first served."""
    slots, order, gate = PullSlots(2), list[int](), asyncio.Event()

    async def pull(number: int) -> None:
        async with slots.slot("device"):
            order.append(number)
            await gate.wait()

    pulls = [asyncio.create_task(pull(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert order == [0, 1]
    gate.set()
    await asyncio.gather(*pulls)
    assert order == [0, 1, 2, 3, 4]


async def test_one_devices_pulls_do_not_keep_another_waiting() -> None:
    """The number is each device's own."""
    slots = PullSlots(1)
    async with slots.slot("one"), slots.slot("another"):
        pass


async def test_who_waits_for_too_long_is_told_and_takes_no_turn() -> None:
    """The one that is under way goes on, and the next one after it."""
    slots = PullSlots(1, wait_seconds=0.02)
    async with slots.slot("device"):
        with pytest.raises(TooManyPullsError, match="1 pulls of the device"):
            async with slots.slot("device"):
                pass
    async with slots.slot("device"):
        pass


async def test_no_turn_is_lost_whoever_leaves_when() -> None:
    """Cancelled before, while and after it waits; in the moment of being given a turn, too."""
    slots, chance = PullSlots(3, wait_seconds=0.05), random.Random(7)  # noqa: S311 - no secret
    under_way = 0

    async def pull() -> None:
        nonlocal under_way
        async with slots.slot("device"):
            under_way += 1
            assert under_way <= 3
            try:
                await asyncio.sleep(chance.choice([0, 0.001, 0.03]))
            finally:
                under_way -= 1

    pulls = []
    for _ in range(400):
        pulls.append(asyncio.create_task(pull()))
        if chance.random() < 0.3:
            chance.choice(pulls).cancel()
        if chance.random() < 0.2:
            await asyncio.sleep(0.001)
    ends = await asyncio.gather(*pulls, return_exceptions=True)
    kinds = {type(end) for end in ends}
    assert kinds <= {type(None), asyncio.CancelledError, TooManyPullsError}
    assert under_way == 0
    for _ in range(3):  # all turns are there
        async with slots.slot("device"), slots.slot("device"), slots.slot("device"):
            pass
    assert not slots._under_way  # noqa: SLF001 - nothing is kept of a device that left
    assert not slots._waiting  # noqa: SLF001 - the same
