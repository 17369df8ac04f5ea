"""What a watch tells of what it sees."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress

import pytest

from control_plane.commands.api_client import ApiRefusedError, ApiUnreachableError, Json
from control_plane.commands.watching import (
    changed_items,
    changed_value,
    newer_items,
    until_interrupted,
)


class EnoughError(Exception):
    """Somebody has seen enough."""


def looks(*found: list[Json] | Exception) -> Callable[[], Awaitable[list[Json]]]:
    """Return what each look finds; after the last one somebody has seen enough."""
    each: Iterator[list[Json] | Exception] = iter(found)

    async def look() -> list[Json]:
        seen = next(each, EnoughError())
        if isinstance(seen, Exception):
            raise seen
        return seen

    return look


async def told_by(watched: AsyncIterator[list[Json]]) -> list[list[Json]]:
    """Return all that is told before somebody has seen enough."""
    told = list[list[Json]]()
    with suppress(EnoughError):
        async for each in watched:
            told += [each]
    return told


ONE, OTHER, TWO = {"id": "1", "a": 1}, {"id": "1", "a": 2}, {"id": "2", "a": 1}


async def test_items_are_told_when_they_are_new_or_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And that one is gone; what is as it was is not told again."""
    found = looks([ONE], [ONE], [ONE, TWO], [OTHER, TWO], [TWO])
    told = await told_by(changed_items(found, lambda item: item["id"], seconds=0))
    assert told == [[ONE], [TWO], [OTHER]]
    assert capsys.readouterr().err == "1 is not there any more.\n"


async def test_a_value_is_told_when_it_is_another() -> None:
    """Not each time that somebody looks."""
    told = await told_by(changed_value(looks([ONE], [ONE], [OTHER]), seconds=0))
    assert told == [[ONE], [OTHER]]


async def test_news_are_told_if_there_are_any() -> None:
    """An empty page is none."""
    told = await told_by(newer_items(looks([], [ONE], [], [TWO]), seconds=0))
    assert told == [[ONE], [TWO]]


async def test_without_any_answer_there_is_nothing_to_watch() -> None:
    """A wrong address fails at once; a silence later does not."""
    away = ApiUnreachableError("away")
    with pytest.raises(ApiUnreachableError):
        await told_by(newer_items(looks(away), seconds=0))
    told = await told_by(newer_items(looks([ONE], away, away, [TWO]), seconds=0))
    assert told == [[ONE], [TWO]]


async def test_a_control_plane_that_starts_ends_no_watch_and_one_that_refuses_does() -> None:
    """While it reads the audit log it answers 503; a token that expired is no pause."""
    starting, refused = (ApiRefusedError(status, {"detail": ""}) for status in (503, 401))
    told = await told_by(newer_items(looks([ONE], starting, [TWO]), seconds=0))
    assert told == [[ONE], [TWO]]
    with pytest.raises(ApiRefusedError):
        await told_by(newer_items(looks([ONE], refused), seconds=0))


async def test_what_is_no_interruption_is_no_end() -> None:
    """A refusal, for one."""

    async def refused() -> None:
        raise ApiUnreachableError("away")

    with pytest.raises(ApiUnreachableError):
        await until_interrupted(refused())
