"""A disk that fails while a facade starts, ends, or takes up what another one left."""

import asyncio
import os
import shutil
import time
from pathlib import Path
from typing import Final

import pytest

from facade.store.partials import ABANDONED_SECONDS
from tests.faults.disk_errors.failing_machine import (
    ARRIVING,
    AT_ONCE,
    DEVICES,
    INDEX,
    LENGTH,
    STORED,
    FailingMachine,
    Failure,
)
from tests.faults.report import FaultReport
from tests.faults.stored_files import partials, sizes
from tests.support.device_stream import End
from tests.support.eventually import eventually
from tests.support.failing_disk.calls import Call
from tests.support.simulators.behaviour import Holds

LEFT: Final = "left"  # the folder of a partial that nobody asks for
STARTS: Final = {
    "open of a partial": Failure(Call.OPEN, f"*/ingest/{LEFT}/*"),
    "look at a partial": Failure(Call.LOOK, f"*/ingest/{LEFT}/*"),
    "removal of a partial": Failure(Call.REMOVE, f"*/ingest/{LEFT}/*"),
    "look at a blob that the index has not": Failure(Call.LOOK, STORED),
    "read of a folder of blobs": Failure(Call.OPEN, "*/blobs/sha256/{hex:.2}"),
}
NEVER_LEFT_OUT, *LONG = STARTS


@pytest.mark.parametrize(
    "what", [NEVER_LEFT_OUT, *(pytest.param(each, marks=pytest.mark.long) for each in LONG)]
)
async def test_one_bad_place_lets_a_facade_start(
    machine: FailingMachine, fault_report: FaultReport, what: str
) -> None:
    """What is stored elsewhere is served, and new blobs are kept."""
    bad, sound, new = (machine.blob(LENGTH, AT_ONCE) for _ in range(3))
    for each in (bad, sound):
        await machine.keep(each)
    # What is killed between the last move and the end of an arrival leaves its folder for an hour.
    await eventually(lambda: not list(machine.cache.glob("ingest/*")))
    machine.index_rows(f"DELETE FROM blobs WHERE digest = '{bad}'")
    _leave_a_partial(machine.cache)
    machine.facade.child.kill()
    async with STARTS[what].on(machine.disk, bad):
        machine.facade.restart()
        await machine.pull(sound)
        assert machine.asked(sound) == 1
        await machine.keep(new)
    shutil.rmtree(machine.cache / "ingest" / LEFT, ignore_errors=True)
    await machine.is_well(bad)
    fault_report.row(f"EIO at a start: {what}", "what is stored, right", "new blobs were kept")


def _leave_a_partial(cache: Path) -> None:
    partial = cache / "ingest" / LEFT / "data"
    partial.parent.mkdir(exist_ok=True)
    partial.write_bytes(bytes(LENGTH))
    then = time.time() - 2 * ABANDONED_SECONDS
    os.utime(partial, (then, then))


@pytest.mark.parametrize("call", [Call.READ, pytest.param(Call.OPEN, marks=pytest.mark.long)])
async def test_what_a_dead_facade_left_and_nobody_can_read_is_fetched_anew(
    machine: FailingMachine, fault_report: FaultReport, call: Call
) -> None:
    """It cannot be hashed, so it is worth nothing."""
    content, holds = os.urandom(LENGTH), Holds(LENGTH // 2)
    digest = machine.upstream.blob(content, get=holds)
    cut = asyncio.create_task(machine.outcomes(digest))
    await eventually(lambda: sizes(partials(machine.cache)) >= LENGTH // 2)
    machine.facade.child.kill()
    holds.gate.set()
    await asyncio.wait([cut])
    assert cut.exception() or cut.result()[0].end is not End.WHOLE  # before the headers, or after
    machine.upstream.blob(content, get=AT_ONCE)
    machine.facade.restart()
    async with Failure(call, ARRIVING).on(machine.disk):
        await machine.pull(digest, DEVICES)
    await machine.is_well(digest)
    fault_report.row(
        f"SIGKILL in a download, then EIO for what had come: {call.value}",
        "a reset, then whole answers, right",
        "kept by the next pull",
    )


@pytest.mark.long
async def test_an_index_that_cannot_be_synced_lets_a_facade_end_and_start(
    machine: FailingMachine, fault_report: FaultReport
) -> None:
    """What it noted may be lost, and is found or proven again."""
    digest = machine.blob(LENGTH, AT_ONCE)
    await machine.keep(digest)
    async with Failure(Call.SYNC, INDEX).on(machine.disk):
        assert machine.facade.stop() == 0
    machine.facade.restart()
    await machine.is_well(digest)
    fault_report.row("EIO for the sync of the index at a stop", "nothing", "by itself")
