"""A cancellation ends what it is meant for, whatever happens in the same moment."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from control_plane.http.tls_reload import keep_reloading as keep_reloading_control_plane
from facade.devices.reload import keep_reloading
from shared.stopping import end_tasks, is_set_within
from tests.support.eventually import eventually

PATIENT = 60.0


async def test_an_event_that_is_set_in_time_is_told() -> None:
    """Before, and while it is waited for."""
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    assert await is_set_within(event, PATIENT)
    assert await is_set_within(event, PATIENT)


async def test_an_event_that_is_not_set_in_time_is_told() -> None:
    """And not waited for any longer."""
    assert not await is_set_within(asyncio.Event(), 0.01)
    assert not await is_set_within(asyncio.Event(), 0)


async def _in_a_loop(event: asyncio.Event) -> None:
    while True:
        await is_set_within(event, PATIENT)
        event.clear()


async def _present(_: object) -> None:
    raise AssertionError


WAITING: dict[str, Callable[[asyncio.Event], Awaitable[None]]] = {
    "a loop": _in_a_loop,
    "the facade's files": lambda event: keep_reloading([], event, lambda: None),
    "the control plane's files": lambda event: keep_reloading_control_plane(
        None, event, _present, lambda: None
    ),
}


@pytest.mark.parametrize("work", WAITING.values(), ids=WAITING.keys())
async def test_a_cancellation_beside_the_event_is_not_swallowed(
    work: Callable[[asyncio.Event], Awaitable[None]],
) -> None:
    """`asyncio.wait_for` of Python 3.11 swallows it: the work goes on for ever."""
    event = asyncio.Event()
    task = asyncio.ensure_future(work(event))
    await asyncio.sleep(0.01)
    event.set()
    task.cancel()

    await eventually(task.done)
    assert task.cancelled()


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    """A library may do so."""
    swallowed = 0

    async def swallow() -> None:
        nonlocal swallowed
        while swallowed < 3:
            try:
                await asyncio.sleep(PATIENT)
            except asyncio.CancelledError:
                swallowed += 1

    swallowing, failing = asyncio.create_task(swallow()), asyncio.create_task(_present(None))
    await asyncio.sleep(0)
    await end_tasks(swallowing, failing, again_seconds=0.01)

    assert swallowing.done()
    assert swallowed == 3
    assert isinstance(failing.exception(), AssertionError)


async def test_nothing_to_end_has_ended() -> None:
    """No task, or one that has ended before."""
    done = asyncio.create_task(asyncio.sleep(0))
    await done
    await end_tasks()
    await end_tasks(done)
    assert not done.cancelled()
