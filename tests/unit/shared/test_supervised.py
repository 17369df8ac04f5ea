"""Work under an owner goes on after whatever it raised, and what it raised is told."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import orjson
import pytest

from shared.supervised import (
    CALLBACKS,
    LINES_A_MINUTE,
    STEADY_SECONDS,
    Supervisor,
    tell_of_failure,
)
from tests.support.clock import Clock
from tests.support.eventually import eventually

SECRET = "canary-of-a-message"


class Panic(BaseException):
    """What a library in Rust raises, beside all that is an `Exception`."""


async def cancelled_elsewhere() -> None:
    """Wait for what somebody else cancels."""
    waiting = asyncio.get_running_loop().create_future()
    waiting.cancel()
    await waiting


async def raising(error: BaseException) -> None:
    """Raise."""
    raise error


@pytest.mark.parametrize(
    "fail, name",
    [
        (lambda: raising(KeyError(SECRET)), "KeyError"),
        (lambda: raising(MemoryError()), "MemoryError"),
        (lambda: raising(Panic(SECRET)), "Panic"),
        (cancelled_elsewhere, "CancelledError"),
    ],
)
async def test_work_that_failed_is_begun_again(
    fail: Callable[[], Awaitable[None]], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The process lives, and says what it was; the message may be a stranger's."""
    counted: list[str] = []
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            await fail()
        await asyncio.Event().wait()

    supervisor = Supervisor(counted.append)
    task = supervisor.keep("work", work)
    await eventually(lambda: begun == 2)
    assert not task.done()
    assert counted == ["work"]
    (words,) = supervisor.problems()
    assert words.startswith(f"work failed with {name}")
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    logged = capfd.readouterr().err
    assert SECRET not in logged
    line = orjson.loads(logged.splitlines()[0])
    assert (line["level"], line["part"]) == ("error", "work")
    assert line["exception"][0]["type"] == name
    assert any("test_supervised.py" in frame for frame in line["exception"][0]["frames"])


async def test_what_failed_long_ago_is_no_problem_any_more() -> None:
    """Else a moment's failure would be said until the next start."""
    clock = Clock()
    supervisor = Supervisor(clock=clock)
    supervisor.failed("work", ValueError())
    assert len(list(supervisor.problems())) == 1
    clock.advance(STEADY_SECONDS)
    assert list(supervisor.problems()) == []


async def test_a_callback_that_fails_all_the_time_has_few_lines(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each failure is counted; the disk of the log is not filled with them."""
    counted: list[str] = []
    clock = Clock()
    supervisor = Supervisor(counted.append, clock=clock)
    loop = asyncio.get_running_loop()
    supervisor.watch(loop)
    failures = 10 * LINES_A_MINUTE
    for _ in range(failures):
        loop.call_soon(raise_it)
    await eventually(lambda: len(counted) == failures)
    clock.advance(60)
    loop.call_later(0, raise_it)
    await eventually(lambda: len(counted) == failures + 1)
    lines = [orjson.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {line["part"] for line in lines} == {CALLBACKS}
    assert len(lines) == LINES_A_MINUTE + 1
    assert sum(line["count"] for line in lines) == failures + 1


def raise_it() -> None:
    """Raise."""
    raise KeyError(SECRET)


async def test_signal_handlers_and_tasks_of_nobody_have_an_owner_too(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The loop would say it in words that may quote anything, and not before a collection."""
    counted: list[str] = []
    loop = asyncio.get_running_loop()
    Supervisor(counted.append).watch(loop)
    loop.add_signal_handler(signal.SIGUSR2, raise_it)
    signal.raise_signal(signal.SIGUSR2)
    await eventually(lambda: len(counted) == 1)
    loop.remove_signal_handler(signal.SIGUSR2)
    task = asyncio.create_task(raising(KeyError(SECRET)))
    task.add_done_callback(tell_of_failure)
    await eventually(lambda: len(counted) == 2)
    assert SECRET not in capfd.readouterr().err


def test_what_is_meant_to_end_the_process_does() -> None:
    """A call to exit is no failure."""

    async def main() -> None:
        await Supervisor().keep("work", lambda: raising(SystemExit(3)))

    with asyncio.Runner() as runner, pytest.raises(SystemExit):
        runner.run(main())
