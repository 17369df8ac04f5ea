"""`--watch`: prints what is there, and then what changes, until Ctrl-C.

The API is asked again and again. While it does not answer, it is asked on: a control plane that is
restarted ends no watch.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Final, TypeVar

import click

from control_plane.commands.api_client import ApiRefusedError, ApiUnreachableError
from control_plane.commands.running import say

WATCH_SECONDS: Final = 2.0  # a page of 200 connections takes some 30 ms of the control plane
SILENCE_SECONDS: Final = 600.0  # longer than an upgrade takes; then the watch fails

watch = click.option(
    "--watch", "-w", is_flag=True, help="Go on, and print what changes, until Ctrl-C."
)

_PASSING: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_Found = TypeVar("_Found")


async def changed_items(
    fetch: Callable[[], Awaitable[Sequence[_Found]]],
    key: Callable[[_Found], Hashable],
    seconds: float = WATCH_SECONDS,
) -> AsyncIterator[list[_Found]]:
    """Yield all items, and then those alone that are new or not as they were."""
    before = dict[Hashable, _Found]()
    async for found in looks(fetch, seconds):
        now = {key(item): item for item in found}
        if changed := [item for name, item in now.items() if before.get(name) != item]:
            yield changed
        for name in before.keys() - now.keys():
            say(f"{name} is not there any more.")
        before = now


async def newer_items(
    fetch: Callable[[], Awaitable[list[_Found]]], seconds: float = WATCH_SECONDS
) -> AsyncIterator[list[_Found]]:
    """Yield what each look finds, if it finds anything: whoever asks for news says since when."""
    async for found in looks(fetch, seconds):
        if found:
            yield found


async def changed_value(
    fetch: Callable[[], Awaitable[_Found]], seconds: float = WATCH_SECONDS
) -> AsyncIterator[_Found]:
    """Yield a value, and then again each time when it is another one."""
    before: _Found | None = None
    async for found in looks(fetch, seconds):
        if found != before:
            yield found
        before = found


async def looks(
    fetch: Callable[[], Awaitable[_Found]],
    seconds: float = WATCH_SECONDS,
    *,
    silence_seconds: float = SILENCE_SECONDS,
) -> AsyncIterator[_Found]:
    """Yield what is there, over and over; raise what refuses, or a long silence."""
    clock = asyncio.get_running_loop().time
    answered: float | None = None  # without any answer at first, the command just fails
    is_told = False
    while True:
        try:
            found = await fetch()
        except (ApiUnreachableError, ApiRefusedError) as error:
            if not passes(error) or answered is None or clock() - answered > silence_seconds:
                raise
            if not is_told:
                say(f"{error}; asking on")
            is_told = True
        else:
            answered, is_told = clock(), False
            yield found
        await asyncio.sleep(seconds)


def passes(error: ApiUnreachableError | ApiRefusedError) -> bool:
    """Tell whether the same call may work later: nobody answers, or a start is not over yet."""
    return isinstance(error, ApiUnreachableError) or error.status in _PASSING


async def until_interrupted(watched: Awaitable[None]) -> None:
    """Watch until Ctrl-C, which is how a watch ends: it is no failure."""
    with suppress(asyncio.CancelledError):
        await watched
