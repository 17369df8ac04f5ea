"""A disk that fails while the store makes room: it keeps to its quota, and goes on keeping."""

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from attrs import evolve

from tests.faults.disk_errors.failing_machine import (
    ARRIVING,
    AT_ONCE,
    DEVICES,
    IN_PARTS,
    INDEX,
    LENGTH,
    STORED,
    FailingMachine,
    Failure,
)
from tests.faults.report import FaultReport
from tests.faults.stored_files import used_bytes
from tests.support.facade_states import pull_path
from tests.support.failing_disk.calls import Call

QUOTA: Final = 8 * LENGTH


@pytest.fixture(scope="module")
def facade_settings(cache: Path) -> Mapping[str, str]:
    """The module's facade keeps few blobs."""
    return {"FACADE_CACHE_DIR": str(cache), "FACADE_CACHE_MAX_BYTES": str(QUOTA)}


EVICTION: Final = {
    "open of what is stored": Failure(Call.OPEN, "*/blobs/sha256/*/*"),
    "look at what is stored": Failure(Call.LOOK, "*/blobs/sha256/*/*"),
    "removal of what is stored": Failure(Call.REMOVE, "*/blobs/sha256/*/*"),
    "write of the index": Failure(Call.WRITE, INDEX),
}


@pytest.mark.parametrize("what", EVICTION)
async def test_a_full_store_that_cannot_evict_passes_on(
    machine: FailingMachine, fault_report: FaultReport, what: str
) -> None:
    """It keeps to its quota, and evicts again when it can."""
    await machine.fill(QUOTA)
    digest = machine.blob(LENGTH, AT_ONCE)
    async with EVICTION[what].on(machine.disk, digest):
        await machine.pull(digest, DEVICES)
    await machine.is_well(digest)
    assert used_bytes(machine.cache) <= QUOTA
    fault_report.row(
        f"EIO while room is made: {what}", "whole answers, right", "kept by the next pull"
    )


@pytest.mark.parametrize("call", [Call.OPEN, Call.LOOK, Call.REMOVE])
async def test_one_blob_that_cannot_be_evicted_stands_in_nobodys_way(
    machine: FailingMachine, call: Call
) -> None:
    """Others go in its stead: one bad place on the disk ends no caching."""
    least_used = await machine.fill(QUOTA)
    digest = machine.blob(LENGTH, AT_ONCE)
    async with Failure(call, STORED).on(machine.disk, least_used):
        await machine.keep(digest)
    await machine.is_well(digest)


@pytest.mark.parametrize("call", [Call.OPEN, Call.LOOK, Call.REMOVE])
async def test_one_partial_that_cannot_be_touched_stands_in_nobodys_way(
    machine: FailingMachine, call: Call
) -> None:
    """A dead process left it where the disk is bad."""
    await machine.fill(QUOTA)
    partial = machine.cache / "ingest" / "left" / "data"
    partial.parent.mkdir()
    partial.write_bytes(bytes(LENGTH))
    os.utime(partial, (0, 0))
    digest = machine.blob(LENGTH, AT_ONCE)
    async with Failure(call, "*/ingest/left/*").on(machine.disk):
        await machine.keep(digest)
    shutil.rmtree(partial.parent, ignore_errors=True)
    await machine.is_well(digest)


async def test_a_disk_that_is_full_for_one_write_costs_nothing(
    machine: FailingMachine, fault_report: FaultReport
) -> None:
    """What is stored makes room, and the same write is made again."""
    stored, digest = machine.blob(LENGTH, AT_ONCE), machine.blob(LENGTH, IN_PARTS)
    await machine.keep(stored)
    full = Failure(
        Call.WRITE, ARRIVING, options={"from_byte": LENGTH // 2, "times": 1, "number": errno.ENOSPC}
    )
    async with full.on(machine.disk):
        await machine.pull(digest, DEVICES)
        await machine.is_kept(digest)
    assert machine.asked(digest) == 1
    assert not machine.is_stored(stored)
    await machine.is_well(digest)
    fault_report.row("ENOSPC at one write", "whole answers, right", "evicted, written again, kept")


async def test_what_is_put_aside_counts_once(machine: FailingMachine) -> None:
    """Even where what was put aside before cannot be deleted for it."""
    cannot_be_opened = Failure(Call.OPEN, STORED)
    before, digest = machine.blob(LENGTH, AT_ONCE), machine.blob(LENGTH, AT_ONCE)
    await machine.keep(before)
    async with cannot_be_opened.on(machine.disk, before):
        await machine.pull(before)
    await machine.keep(digest)
    neither = evolve(cannot_be_opened, besides=Failure(Call.REMOVE, "*/quarantine/*"))
    async with neither.on(machine.disk, digest):
        path = pull_path(machine.upstream, digest)
        assert (await machine.device.get(path, method="HEAD")).status == 200
        assert not machine.is_stored(digest)
        assert not machine.is_noted(digest)
    await machine.is_well(digest)
