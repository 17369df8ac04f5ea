"""What is opened in a thread is closed, whoever leaves; nobody waits for a disk that hangs."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable

import pytest
from attrs import define, field

from facade.loop.thread_work import (
    STORE_THREADS,
    finish,
    finish_in_thread,
    in_store_thread,
    open_in_thread,
)
from tests.support.eventually import eventually
from tests.support.leftovers import leftovers


@define(eq=False)
class Disk:
    """Opens when it is told to."""

    answers: threading.Event = field(factory=threading.Event)
    closed: list[str] = field(factory=list)

    def open(self, name: str) -> str:
        """Hang until then."""
        self.answers.wait()
        return name

    def close(self, opened: str) -> None:
        """Note it."""
        self.closed.append(opened)


async def test_what_comes_after_its_opener_left_is_closed() -> None:
    """A device left, or the facade stops, while the disk hangs."""
    disk = Disk()
    opening = asyncio.create_task(open_in_thread(disk.open, disk.close, "blob"))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert disk.closed == []
    disk.answers.set()
    await eventually(lambda: disk.closed == ["blob"])


async def test_what_was_opened_is_its_openers() -> None:
    """Nobody else closes it."""
    disk = Disk()
    disk.answers.set()
    assert await open_in_thread(disk.open, disk.close, "blob") == "blob"
    assert disk.closed == []


async def test_what_is_to_be_finished_is() -> None:
    """Who is cancelled meanwhile learns of it afterwards."""
    goes_on, done = asyncio.Event(), []

    async def work() -> None:
        await goes_on.wait()
        done.append("all of it")

    working = asyncio.create_task(finish(work()))
    await asyncio.sleep(0)
    working.cancel()
    await asyncio.sleep(0)
    assert not working.done()
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert done == ["all of it"]


def fails() -> str:
    """Do as a disk does that cannot."""
    raise OSError


@pytest.mark.parametrize(
    "way",
    [
        lambda: in_store_thread(fails),
        lambda: finish_in_thread(fails),
        lambda: open_in_thread(fails, print),
    ],
    ids=["in_store_thread", "finish_in_thread", "open_in_thread"],
)
async def test_what_fails_in_a_thread_leaves_nothing(way: Callable[[], Awaitable[str]]) -> None:
    """A future is held by who awaits it, and holds the failure, which holds the awaiting frame."""
    with leftovers() as left:
        # A thread may hold its last failure a moment longer, and then the collector finds nothing:
        # one of these is not the last one of its thread.
        for _ in range(STORE_THREADS + 1):
            with contextlib.suppress(OSError):
                await way()
    assert left.frames == []
