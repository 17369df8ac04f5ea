"""Work that several ask for is done once, and nobody's leaving or failing is the others'."""

import asyncio

import pytest
from attrs import define, field

from facade.loop.single_flight import SingleFlight
from tests.support.eventually import eventually


@define
class Work:
    """Work that ends when it is told to."""

    may_end: asyncio.Event = field(factory=asyncio.Event)
    begun: int = 0
    ended: int = 0
    failure: Exception | None = None

    async def do(self) -> int:
        """Return how often it was begun."""
        self.begun += 1
        try:
            await self.may_end.wait()
        finally:
            self.ended += 1
        if self.failure is not None:
            raise self.failure
        return self.begun


async def share(flights: SingleFlight[str, int], work: Work, key: str = "key") -> asyncio.Task[int]:
    """Ask for work, and let it begin."""
    task = asyncio.create_task(flights.share(key, work.do))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_all_who_ask_meanwhile_get_one_result() -> None:
    """And whoever asks afterwards another."""
    flights, work = SingleFlight[str, int](), Work()
    tasks = [await share(flights, work) for _ in range(3)]
    assert flights.is_under_way("key")
    work.may_end.set()
    assert await asyncio.gather(*tasks) == [1, 1, 1]
    assert not flights.is_under_way("key")
    assert await flights.share("key", work.do) == 2


async def test_other_work_is_not_waited_for() -> None:
    """Each key has its own."""
    flights, work, other = SingleFlight[str, int](), Work(), Work()
    waiting = await share(flights, work)
    other.may_end.set()
    assert await flights.share("other", other.do) == 1
    assert not waiting.done()
    work.may_end.set()
    await waiting


async def test_a_failure_is_everybodys_and_is_not_remembered() -> None:
    """The next one to ask begins anew."""
    flights, work = SingleFlight[str, int](), Work(failure=ValueError("no"))
    tasks = [await share(flights, work) for _ in range(3)]
    work.may_end.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(each) for each in outcomes] == ["no"] * 3
    assert len({id(each) for each in outcomes}) == 3  # an instance each, to raise and to explain
    work.failure = None
    assert await flights.share("key", work.do) == 2


@pytest.mark.parametrize("leaving", [0, 1])
async def test_who_leaves_leaves_alone(leaving: int) -> None:
    """The first as well as any other."""
    flights, work = SingleFlight[str, int](), Work()
    tasks = [await share(flights, work) for _ in range(3)]
    tasks[leaving].cancel()
    await asyncio.wait([tasks[leaving]])
    work.may_end.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [each for each in outcomes if each == 1] == [1, 1]
    assert work.begun == 1


async def test_a_failure_that_nobody_waits_for_is_taken() -> None:
    """The loop would complain of it."""
    flights, work = SingleFlight[str, int](), Work(failure=ValueError("no"))
    task = await share(flights, work)
    task.cancel()
    await asyncio.wait([task])
    work.may_end.set()
    await eventually(lambda: not flights.is_under_way("key"))


async def test_closing_ends_what_is_under_way() -> None:
    """And waits for its end."""
    flights, work = SingleFlight[str, int](), Work()
    task = await share(flights, work)
    await flights.close()
    assert work.ended == 1
    with pytest.raises(asyncio.CancelledError):
        await task
    await flights.close()
