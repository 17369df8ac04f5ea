"""One attack, watched: what the victim felt, what memory it took, whether the process lives.

    async with watch("103 for ever", Party.REGISTRY, target, Allowed()) as attack:
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
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from attrs import define, frozen

from shared.outside_bytes import Party
from tests.adversary.bounds import IGNORES_WAITING, QUIET_SECONDS, SETTLE_SECONDS, Allowed
from tests.adversary.report import AdversaryReport, Row
from tests.adversary.victim import Phase, Waited
from tests.bench.process_cost import cpu_seconds
from tests.support.memory import MIB, Memory


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

    @property
    def left(self) -> float:
        """Seconds until it should not."""
        return max(0.0, self.ends_at - time.monotonic())

    async def to_its_end(self) -> None:
        """Return when it is time to end: what was begun goes on by itself."""
        await asyncio.sleep(self.left)


@frozen
class Watch:
    """Watches attacks for one test."""

    report: AdversaryReport

    @asynccontextmanager
    async def __call__(
        self,
        attack: str,
        party: Party,
        target: Target,
        allowed: Allowed,
    ) -> AsyncIterator[Attack]:
        """Watch while the body attacks; then fail where a bound did not hold."""
        victim = await _start(*target.victim, "--asked", str(target.pid))
        try:
            await asyncio.sleep(QUIET_SECONDS)
            before = Memory.of(target.pid).now
            _forget_peak(target.pid)
            _next_phase(victim)
            began, used = time.monotonic(), cpu_seconds([target.pid])
            yield Attack(began + allowed.seconds)
            is_alive = target.is_alive()
            cores = (cpu_seconds([target.pid]) - used) / (time.monotonic() - began)
            _next_phase(victim)
            await asyncio.sleep(SETTLE_SECONDS)
            memory = Memory.of(target.pid)
            quiet, during, _after = await _measured(victim)
        finally:
            if victim.returncode is None:
                victim.kill()
                await victim.wait()
        done = Row(
            attack=attack,
            party=party.name.lower(),
            quiet_p50=_median(quiet),
            p50=_median(during),
            p99=_p99(waited for waited, _ in _right(during)),
            worked_p99=_p99(worked for _, worked in _right(during)),
            worked_longest=max(worked for _, worked in _right(during)),
            failed=during.count(None),
            asked=len(during),
            growth_bytes=memory.peak - before,
            kept_bytes=memory.now - before,
            cores=cores,
        )
        self.report.add(done)
        beyond = list(_beyond(done, allowed)) if is_alive else ["the process does not answer"]
        assert not beyond, "; ".join(beyond)


def _beyond(done: Row, allowed: Allowed) -> Iterator[str]:
    """Yield in words what did not hold."""
    if done.failed:
        yield f"{done.failed} of {done.asked} of the victim's questions failed"
    if done.p99 >= allowed.p99_seconds and not IGNORES_WAITING:
        yield f"the victim waits for {done.p99 * 1000:.0f} ms"
    if done.worked_p99 >= allowed.worked_p99_seconds:
        yield f"the loop works for {done.worked_p99 * 1000:.0f} ms before it answers the victim"
    if done.worked_longest >= allowed.worked_longest_seconds:
        yield f"and once for {done.worked_longest * 1000:.0f} ms"
    if done.growth_bytes >= allowed.growth_bytes:
        yield f"it takes {done.growth_bytes // MIB} MiB more at its peak"
    if done.kept_bytes >= allowed.kept_bytes:
        yield f"it keeps {done.kept_bytes // MIB} MiB"
    if done.cores >= allowed.cores:
        yield f"it keeps {done.cores:.2f} of a core busy"


async def _start(*arguments: str) -> Process:
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
    phases = [json.loads(line) for line in printed.splitlines()]
    return [[each and tuple(each) for each in phase] for phase in phases]


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): the peak begins again


def _right(phase: Phase) -> list[Waited]:
    return [each for each in phase if each is not None]


def _median(phase: Phase) -> float:
    return statistics.median(waited for waited, _ in _right(phase))


def _p99(seconds: Iterable[float]) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[98]
