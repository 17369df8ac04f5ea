"""SIGKILL while whole reads and parallel ranges arrive: what had come is not bought again.

What had come is what the facade says that it read from the registry, a moment before it is killed:
so bytes that wait in a socket do not count, and what it holds in memory does. What is bought again
is counted by the registry. So it does not matter over how many connections a blob comes.

What a kill costs is what was gathered and not written yet: the last 50 ms, more if threads wait for
a busy machine, and 2 MiB of each stream at most. So the bandwidth is bounded, some time passes
before a kill, and it is all moments together that are judged.
"""

import asyncio
import random
import statistics
from pathlib import Path
from typing import Final

import pytest
from attrs import define, field

from facade.values.piece import PIECE_BYTES
from tests.faults.extent import extent
from tests.faults.report import FaultReport
from tests.support.device_stream import End
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.behaviour import Slow
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.pulls import Outcome, outcome_of

KILLS: Final = extent(3, 50)
LENGTH: Final = 96 * PIECE_BYTES + 4711  # three seconds
PACE: Final = Slow(PIECE_BYTES // 4, 0.005)  # on each connection
WORKERS: Final = 4  # of a device, each with a quarter of the blob
FIRST_SHARE: Final = 0.4  # had come at least
HEAD_BYTES: Final = 512  # of an answer of the registry, at most
MIN_KEPT: Final = 0.9
SETTINGS: Final = {
    "FACADE_CACHE_MAX_BYTES": str(4 * LENGTH),
    "FACADE_UPSTREAM_BANDWIDTH": "8MiB",
}


@define
class Kills:
    """A facade that is killed again and again, each time with another blob under way."""

    facade: Facade
    device: Device
    upstream: RegistrySimulator
    come: list[float] = field(factory=list)  # bytes, at each kill
    again: list[float] = field(factory=list)  # of those, how many were bought again

    async def kill_once(self, seed: int) -> None:
        """Have a blob arrive in ranges, or whole beside ranges; kill; pull the whole."""
        chance = random.Random(seed)  # noqa: S311 - any moment will do
        content = chance.randbytes(LENGTH)
        path = pull_path(self.upstream, self.upstream.blob(content, get=PACE))
        wanted = LENGTH * chance.uniform(FIRST_SHARE, 1)
        before = self._read()
        pulls = [asyncio.create_task(self._pull(path, each)) for each in _asked(chance)]
        await eventually(lambda: self._read() - before >= wanted or all(map(_is_done, pulls)))
        come = self._read() - before
        self.facade.child.kill()
        await asyncio.gather(*pulls)
        await eventually(lambda: self.upstream.answered == len(self.upstream.requests))
        self.facade.restart()
        self.come.append(come)
        self.again.append(await self._bought_again(path, come))

    @property
    def kept(self) -> list[float]:
        """The share of what had come that was not bought again, of each kill."""
        return [1 - again / come for again, come in zip(self.again, self.come, strict=True)]

    async def _bought_again(self, path: str, come: float) -> float:
        """Pull the whole; return how many of the bytes that had come were bought for that."""
        asked, written = len(self.upstream.requests), self.upstream.written_bytes
        outcome = await outcome_of(self.device, path)
        assert (outcome.status, outcome.end) == (200, End.WHOLE)
        assert path.endswith(outcome.digest)
        await eventually(lambda: self.upstream.answered == len(self.upstream.requests))
        heads = HEAD_BYTES * (len(self.upstream.requests) - asked)
        return max(0.0, self.upstream.written_bytes - written - heads - (LENGTH - come))

    async def _pull(self, path: str, asked: str | None) -> Outcome | None:
        """Pull from a facade that dies; None where it died before it answered."""
        try:
            return await outcome_of(self.device, path, **({"Range": asked} if asked else {}))
        except (OSError, asyncio.IncompleteReadError):
            return None

    def _read(self) -> float:
        """Return how much the facade has read of blobs since it started."""
        lines = self.facade.operations("/metrics")[1].splitlines()
        found = [each for each in lines if each.startswith("facade_upstream_bytes_total{")]
        return sum(float(each.rpartition(" ")[2]) for each in found if 'kind="blobs"' in each)


def _asked(chance: random.Random) -> list[str | None]:
    """Return what a device asks for at once: ranges in any order, the whole beside them or not."""
    share = LENGTH // WORKERS + 1
    ranges = [f"bytes={at}-{min(at + share, LENGTH) - 1}" for at in range(0, LENGTH, share)]
    asked: list[str | None] = [*ranges, *chance.choice([[], [None]])]
    return chance.sample(asked, len(asked))


def _is_done(pull: asyncio.Task[Outcome | None]) -> bool:
    return pull.done()


@pytest.fixture
async def kills(
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> Kills:
    """A facade that serves."""
    settings = SETTINGS | {"FACADE_CACHE_DIR": str(tmp_path / "cache")}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    await connect(facade, own_writer, upstream)
    return Kills(facade, facade.device(), upstream)


async def test_what_had_come_in_ranges_is_not_bought_again(
    kills: Kills, fault_report: FaultReport
) -> None:
    """At least nine tenths of it, over however many connections."""
    for seed in range(KILLS):
        await kills.kill_once(seed)
    kept = 1 - sum(kills.again) / sum(kills.come)
    worst, median = min(kills.kept), statistics.median(kills.kept)
    fault_report.row(
        f"SIGKILL of the facade with ranges under way, {KILLS} times",
        "pulls cut, and whole and right from the next facade",
        f"kept of what had come: {kept:.1%}; {worst:.1%} at worst, {median:.1%} in the median",
    )
    assert kept >= MIN_KEPT
