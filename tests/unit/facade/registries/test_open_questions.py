"""Of those who ask the same at once one asks, and its failure is everybody's."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from attrs import define, field

from facade.registries.open_questions import OpenQuestions
from shared.upstream.errors import NotInRegistryError, ServerError, UpstreamError
from tests.support.eventually import eventually

ASKERS = 100


@define
class Registry:
    """Answers when it is told to, and counts how often it was asked."""

    questions: OpenQuestions[str] = field(factory=OpenQuestions)
    may_answer: asyncio.Event = field(factory=asyncio.Event)
    failure: UpstreamError | None = None
    asked: int = 0

    @asynccontextmanager
    async def _question(self, question: str) -> AsyncIterator[None]:
        async with self.questions.ask(question):
            self.asked += 1
            yield

    async def ask(self, question: str = "a") -> str:
        """Ask through the questions."""
        async with self._question(question):
            await self.may_answer.wait()
            if self.failure is not None:
                raise self.failure
        return "answer"


async def started(registry: Registry, count: int) -> list[asyncio.Task[str]]:
    """Have so many ask the same; return when they wait."""
    tasks = [asyncio.create_task(registry.ask()) for _ in range(count)]
    await eventually(lambda: registry.asked >= 1)
    await asyncio.sleep(0)
    return tasks


async def test_a_failure_is_everybodys() -> None:
    """A thousand devices that ask for what is not there are one request."""
    registry = Registry(failure=NotInRegistryError("gone"))
    tasks = await started(registry, ASKERS)
    registry.may_answer.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {NotInRegistryError}
    assert registry.asked == 1


async def test_an_answer_is_the_askers_own() -> None:
    """Each has a body to read: the others ask once they know that there is one."""
    registry = Registry()
    tasks = await started(registry, ASKERS)
    assert registry.asked == 1
    registry.may_answer.set()
    assert await asyncio.gather(*tasks) == ["answer"] * ASKERS
    assert registry.asked == ASKERS


async def test_another_question_does_not_wait() -> None:
    """One slow digest holds up nobody else."""
    registry = Registry()
    tasks = await started(registry, 2)
    other = asyncio.create_task(registry.ask("b"))
    await eventually(lambda: registry.asked == 2)
    registry.may_answer.set()
    await asyncio.gather(*tasks, other)


async def test_one_that_leaves_is_nobodys_failure() -> None:
    """The next one asks; those who wait go on waiting."""
    registry = Registry(failure=ServerError(503))
    tasks = await started(registry, ASKERS)
    for number in range(3):
        tasks[number].cancel()
        await eventually(lambda asked=number + 2: registry.asked == asked)  # type: ignore[misc] # mypy cannot infer a lambda with a default
    registry.may_answer.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in outcomes[:3]] == [asyncio.CancelledError] * 3
    assert {type(each) for each in outcomes[3:]} == {ServerError}
    assert registry.asked == 4


async def test_one_that_waits_may_leave() -> None:
    """It takes nothing with it."""
    registry = Registry()
    asker, waiter, other = await started(registry, 3)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    registry.may_answer.set()
    assert await asyncio.gather(*[asker, other]) == ["answer", "answer"]


async def test_what_was_answered_is_asked_again_the_next_time() -> None:
    """Nothing is remembered here."""
    registry = Registry(failure=NotInRegistryError("gone"))
    registry.may_answer.set()
    for expected in (1, 2):
        with pytest.raises(NotInRegistryError):
            await registry.ask()
        assert registry.asked == expected
    registry.failure = None
    assert await registry.ask() == "answer"


async def test_a_shared_failure_does_not_grow() -> None:
    """It is raised for every device, and each time its traceback would get longer."""
    registry = Registry(failure=NotInRegistryError("gone"))
    tasks = await started(registry, 5)
    registry.may_answer.set()
    lengths = []
    for task in tasks:
        with pytest.raises(NotInRegistryError) as raised:
            await task
        lengths.append(len(traceback.extract_tb(raised.value.__traceback__)))
    assert max(lengths) <= 8
