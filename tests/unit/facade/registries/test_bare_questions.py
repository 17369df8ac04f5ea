"""One asks a registry bare, the others wait for it, and never for long."""

import asyncio

import pytest

from facade.registries.bare_questions import BareQuestions
from shared.upstream.challenge import BasicChallenge
from shared.upstream.errors import ConnectError
from tests.support.eventually import eventually

BASIC = BasicChallenge()
AWAY = ConnectError("away")


@pytest.fixture
def questions() -> BareQuestions[str]:
    """Nobody asks yet."""
    return BareQuestions()


async def wait(questions: BareQuestions[str], key: str = "scope") -> str:
    """Wait as another request does."""
    await questions.until_answered(key)
    return key


async def test_nobody_waits_for_nobody(questions: BareQuestions[str]) -> None:
    """Nor for a question of another scope, nor for one's own."""
    questions.begin("other")
    await questions.until_answered("other")
    assert await asyncio.create_task(wait(questions)) == "scope"


async def test_all_wait_for_the_one_that_asks(questions: BareQuestions[str]) -> None:
    """And go on together."""
    questions.begin("scope", BASIC, AWAY)
    waiting = [asyncio.create_task(wait(questions)) for _ in range(10)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(each.done() for each in waiting)
    questions.end("scope")
    assert await asyncio.gather(*waiting) == ["scope"] * 10
    assert questions.mine("scope") is None


async def test_a_question_is_of_the_task_that_asks(questions: BareQuestions[str]) -> None:
    """It knows what failed before; nobody else can end it, or ask it a second time."""
    questions.begin("scope", BASIC, AWAY)

    async def other() -> None:
        questions.begin("scope")
        assert questions.mine("scope") is None
        questions.end("scope")

    await asyncio.create_task(other())
    questions.begin("scope")
    mine = questions.mine("scope")
    assert mine is not None
    assert (mine.tried, mine.failure) == (BASIC, AWAY)


async def test_a_task_that_ends_leaves_its_question_to_the_next(
    questions: BareQuestions[str],
) -> None:
    """Also where nothing else tells of it."""
    asks = asyncio.Event()

    async def ask() -> None:
        questions.begin("scope")
        asks.set()
        await asyncio.Event().wait()

    asking = asyncio.create_task(ask())
    await asks.wait()
    waiting = asyncio.create_task(wait(questions))
    await asyncio.sleep(0)
    asking.cancel()
    assert await waiting == "scope"
    questions.begin("scope")
    assert questions.mine("scope") is not None


async def test_a_slow_question_holds_up_nobody_for_long() -> None:
    """It may be slow for reasons of its own."""
    questions: BareQuestions[str] = BareQuestions(max_wait=0.01)
    questions.begin("scope")
    waiting = asyncio.create_task(wait(questions))
    await eventually(waiting.done)
    assert questions.mine("scope") is not None
