"""One attack, watched: what the victim felt, what memory it took, whether the process lives.

    async with watch("V1", "103 for ever", Party.REGISTRY, target) as attack:
        while attack.goes_on:
            ...

The body attacks from this process. The victim is another process, and so is what is attacked. When
the body is over, the bounds are held, and a row of the table is written.
"""

import asyncio
import json
import statistics
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define, frozen

from shared.outside_bytes import Party
from tests.adversary.bounds import (
    ATTACK_SECONDS,
    MAX_GROWTH_BYTES,
    MAX_KEPT_BYTES,
    QUIET_SECONDS,
    SETTLE_SECONDS,
    VICTIM_P99_SECONDS,
)
from tests.adversary.report import AdversaryReport, Row
from tests.adversary.victim import Phase
from tests.support.memory import Memory


@frozen
class Target:
    """What is attacked, and how a victim asks it."""

    pid: int
    victim: tuple[str, ...]  # the arguments of `tests.adversary.victim`
    is_alive: Callable[[], bool]


@define
class Attack:
    """One under way."""

    ends_at: float

    @property
    def goes_on(self) -> bool:
        """Whether it should go on."""
        return time.monotonic() < self.ends_at

    async def to_its_end(self) -> None:
        """Return when it is time to end: what was begun goes on by itself."""
        await asyncio.sleep(max(0.0, self.ends_at - time.monotonic()))


@frozen
class Watch:
    """Watches attacks for one test."""

    report: AdversaryReport

    @asynccontextmanager
    async def __call__(
        self,
        row: str,
        attack: str,
        party: Party,
        target: Target,
        *,
        seconds: float = ATTACK_SECONDS,
        victim_p99_seconds: float = VICTIM_P99_SECONDS,
        max_growth_bytes: int = MAX_GROWTH_BYTES,
        max_kept_bytes: int = MAX_KEPT_BYTES,
    ) -> AsyncIterator[Attack]:
        """Watch while the body attacks; then fail where a bound did not hold."""
        victim = await _start(target.victim)
        try:
            await asyncio.sleep(QUIET_SECONDS)
            before = Memory.of(target.pid).now
            _forget_peak(target.pid)
            _next_phase(victim)
            yield Attack(time.monotonic() + seconds)
            is_alive = target.is_alive()
            _next_phase(victim)
            await asyncio.sleep(SETTLE_SECONDS)
            memory = Memory.of(target.pid)
            quiet, during, _after = await _measured(victim)
        finally:
            if victim.returncode is None:
                victim.kill()
                await victim.wait()
        done = Row(
            row=row,
            attack=attack,
            party=party.name.lower(),
            quiet_p50=_median(quiet),
            p50=_median(during),
            p99=_p99(during),
            failed=during.count(None),
            asked=len(during),
            growth_bytes=memory.peak - before,
            kept_bytes=memory.now - before,
        )
        self.report.add(done)
        assert is_alive, "the attacked process does not answer"
        assert done.failed == 0, f"{done.failed} of {done.asked} of the victim's questions failed"
        assert done.p99 < victim_p99_seconds
        assert done.growth_bytes < max_growth_bytes
        assert done.kept_bytes < max_kept_bytes


async def _start(arguments: tuple[str, ...]) -> Process:
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.adversary.victim", *arguments, stdin=PIPE, stdout=PIPE
    )
    assert victim.stdout is not None
    assert await victim.stdout.readline() == b"ready\n"
    return victim


def _next_phase(victim: Process) -> None:
    assert victim.stdin is not None
    victim.stdin.write(b"\n")


async def _measured(victim: Process) -> list[Phase]:
    printed, _ = await victim.communicate(b"")
    return [json.loads(line) for line in printed.splitlines()]


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): the peak begins again


def _right(phase: Phase) -> list[float]:
    return [each for each in phase if each is not None]


def _median(phase: Phase) -> float:
    return statistics.median(_right(phase))


def _p99(phase: Phase) -> float:
    return statistics.quantiles(_right(phase), n=100, method="inclusive")[98]
