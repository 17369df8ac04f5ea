"""What a facade's memory does over many answers: it fills what is bounded, and stays."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Final

from tests.growth.measured import GROWTH, Growth, Sizes
from tests.growth.mixed_traffic import MixedTraffic
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_states import connect
from tests.support.memory import MIB, Memory
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade

NAMES: Final = Sizes(small=(120_000, 480_000), full=(480_000, 960_000, 1_920_000))
NAMED: Final = "G13 memory of a process that names blobs"
HOLES_BYTES: Final = 2 * MIB  # one copy of the table; each thread kept one and more
ANSWERS: Final = Sizes(small=(200, 400), full=(4_000, 8_000, 16_000))
ANSWERED: Final = "G13 a facade's memory after answers of every kind"
WARM_UP: Final = GROWTH.extent(100, 2_000)  # what is made once is of no answer
# Two connections to the index keep 2,000 KiB of its pages each, and Python some of its own.
MOST_BYTES: Final = 8 * MIB
STORE: Final = "64MiB"  # a thousand cold blobs: it is full soon, and evicts


async def test_names_leave_no_holes(growth: Growth) -> None:
    """Python's table of names is copied again and again, by whichever thread makes one."""
    most = float("inf")
    for size in growth.sizes(NAMES):
        before, now = await _named(size)
        most = min(most, before + HOLES_BYTES)
        growth.point(NAMED, size=size, cost=now, unit="bytes")
    growth.holds(NAMED, exponent=0.05, at_most=most)


async def test_answers_of_every_kind_leave_little(
    growth: Growth,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> None:
    """Stored and new content, ranges, what is absent or refused, and new connections."""
    store = {"FACADE_CACHE_DIR": str(tmp_path / "store"), "FACADE_CACHE_MAX_BYTES": STORE}
    settings = store | {"FACADE_LOG_LEVEL": "info", "FACADE_POLL_INTERVAL": "15s"}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    await connect(facade, own_writer, upstream)
    async with MixedTraffic.of(facade, upstream) as traffic:
        await traffic.answers(WARM_UP)
        before, given = Memory.of(facade.child.pid).now, 0
        for size in growth.sizes(ANSWERS):
            await traffic.answers(size - given)
            given, now = size, Memory.of(facade.child.pid).now
            growth.point(ANSWERED, size=size, cost=now, unit="bytes")
    growth.holds(ANSWERED, exponent=0.05, at_most=before + MOST_BYTES)


async def _named(count: int) -> tuple[int, int]:
    """Return the bytes of a process before and after so many are named."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.growth.interned_names", "--count", str(count)),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    sizes = json.loads(told)
    return sizes["before"], sizes["now"]
