"""Waits that a cancellation always ends, and the signals that ask a process to stop.

`asyncio.wait_for` of Python 3.11 swallows a cancellation that comes in the same round of the loop
as what it waits for: the task goes on, and whoever stops it waits for ever. The linter forbids it.
`asyncio.timeout` swallows no cancellation.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any, Final

from shared.structured_log import get_logger

CANCEL_AGAIN_SECONDS: Final = 1.0  # by then an orderly task has ended, or is closing something
ENDED_AT_ONCE_EXIT_CODE: Final = 1

_log = get_logger(__name__)


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, at most so long; tell whether it was set."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


async def end_tasks(*tasks: asyncio.Task[Any], again_seconds: float = CANCEL_AGAIN_SECONDS) -> None:
    """Cancel tasks until all of them have ended: a library may swallow a cancellation.

    Their exceptions are not raised here.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=again_seconds)


def take_stop_signals(ask_to_stop: Callable[[str], None]) -> None:
    """Have the first SIGTERM or SIGINT ask the process to stop, by name; a second one ends it.

    That end has exit status 1 and tidies up nothing, like SIGKILL: an answer under way does not
    look whole.
    """
    loop, was_asked = asyncio.get_running_loop(), False

    def take(number: signal.Signals) -> None:
        nonlocal was_asked
        if was_asked:
            _log.warning("ended at once", signal=number.name, reason="it was asked to stop twice")
            os._exit(ENDED_AT_ONCE_EXIT_CODE)
        was_asked = True
        ask_to_stop(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, take, number)
