"""A disk that fails: EIO where the store reads, writes, syncs, opens, moves or deletes a file.

Devices see right bytes or a reset, never a wrong end, and nothing of it outlasts the fault.
"""

from contextlib import AsyncExitStack
from typing import Final

import pytest

from tests.faults.disk_errors.failing_machine import (
    ARRIVING,
    AT_ONCE,
    CHECKSUMS,
    DEVICES,
    IN_CHECKSUMS,
    INDEX,
    LENGTH,
    MAY_BE_CUT,
    STORED,
    FailingMachine,
    Failure,
)
from tests.faults.report import FaultReport
from tests.support.eventually import eventually
from tests.support.failing_disk.calls import Call

SCRUBBED_SECONDS: Final = 30.0

NOT_REMOVED: Final = Failure(Call.REMOVE, ARRIVING)
# Spared: before the first byte, a file that an earlier attempt may have left.
ANNOUNCED_FOR_EVER: Final = Failure(Call.REMOVE, "*/ingest/*/announcement", options={"spared": 1})
NOT_READ: Final = Failure(Call.READ, ARRIVING)
COLD: Final = {
    "write, the first piece": Failure(Call.WRITE, ARRIVING),
    "write, in the middle": Failure(Call.WRITE, ARRIVING, options={"from_byte": LENGTH // 2}),
    "write, the last byte": Failure(Call.WRITE, ARRIVING, options={"from_byte": LENGTH - 1}),
    "write, and what came is not removed": Failure(
        Call.WRITE, ARRIVING, besides=NOT_REMOVED, options={"from_byte": LENGTH // 2}
    ),
    "write, and what was said of it is not removed": Failure(
        Call.WRITE, ARRIVING, besides=ANNOUNCED_FOR_EVER, options={"from_byte": LENGTH // 2}
    ),
    "removal of what a dead attempt left": Failure(Call.REMOVE, "*/ingest/*"),
    "write and read, in the middle": Failure(
        Call.WRITE, ARRIVING, MAY_BE_CUT, NOT_READ, {"from_byte": LENGTH // 2}
    ),
    "read by those who follow": NOT_READ,
    "read by those who follow, once": Failure(Call.READ, ARRIVING, options={"times": 1}),
    "read by those who follow, in the middle": Failure(
        Call.READ, ARRIVING, MAY_BE_CUT, options={"from_byte": LENGTH // 2}
    ),
    "sync of what came": Failure(Call.SYNC, ARRIVING),
    "sync of the folder": Failure(Call.SYNC, "*/blobs/*"),
    "move of what came": Failure(Call.RENAME, ARRIVING),
    "move of what came, and it is not removed": Failure(Call.RENAME, ARRIVING, besides=NOT_REMOVED),
    "move of its checksums": Failure(Call.RENAME, CHECKSUMS),
    "move of the announcement": Failure(Call.RENAME, "*/announcement.new"),
    "move of the proof": Failure(Call.RENAME, "*/proof.new"),
    "writing of the announcement": Failure(Call.OPEN, "*/announcement.new"),
    "open of its checksums": Failure(Call.OPEN, CHECKSUMS),
    "write of its checksums": Failure(Call.WRITE, CHECKSUMS),
    "write of its checksums, in the middle": Failure(
        Call.WRITE, CHECKSUMS, options={"from_byte": IN_CHECKSUMS}
    ),
    "read of its checksums": Failure(Call.READ, CHECKSUMS),
    "read of its checksums, in the middle": Failure(
        Call.READ, CHECKSUMS, MAY_BE_CUT, options={"from_byte": IN_CHECKSUMS}
    ),
    "sync of its checksums": Failure(Call.SYNC, CHECKSUMS),
    "folder for what arrives": Failure(Call.MAKE_FOLDER, "*/ingest/*"),
    "folder for what is stored": Failure(Call.MAKE_FOLDER, "*/blobs/*"),
    "open of what arrives": Failure(Call.OPEN, ARRIVING),
    "look at what arrives": Failure(Call.LOOK, "*/ingest/*"),
    "lock of the evictor": Failure(Call.OPEN, "*/evictor.lock"),
    "total of what was granted": Failure(Call.OPEN, "*/granted"),
    "write of what was granted": Failure(Call.WRITE, "*/granted"),
    "write of the index": Failure(Call.WRITE, INDEX),
}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=[pytest.mark.long] if failure.besides else [])
        for what, failure in COLD.items()
    ],
)
async def test_a_cold_pull_outlives_it(
    machine: FailingMachine, fault_report: FaultReport, what: str
) -> None:
    """What cannot be kept is passed on, and kept the next time."""
    failure = COLD[what]
    digest = machine.blob(LENGTH, failure.pace)
    async with failure.on(machine.disk):
        outcomes = await machine.outcomes(digest, DEVICES)
    failure.judge(outcomes, digest)
    await eventually(lambda: machine.is_noted(digest) == machine.is_stored(digest))
    await machine.is_well(digest)
    fault_report.row(
        f"EIO for a cold pull: {what}",
        f"{failure.cut(outcomes)} of {DEVICES} answers reset, the others whole and right",
        "kept by the next pull",
    )


NOT_PUT_ASIDE: Final = Failure(Call.RENAME, STORED)
WARM: Final = {
    # What is fetched again lies at the same place as soon as it is kept.
    "read, from the first byte": Failure(Call.READ, STORED, MAY_BE_CUT),
    "read, the first byte, once": Failure(Call.READ, STORED, options={"times": 1}),
    "read, in the middle": Failure(
        Call.READ, STORED, MAY_BE_CUT, options={"from_byte": LENGTH // 2}
    ),
    "read, and it cannot be put aside": Failure(
        Call.READ, STORED, MAY_BE_CUT, besides=NOT_PUT_ASIDE
    ),
    "open": Failure(Call.OPEN, STORED),
    "open, and it cannot be put aside": Failure(Call.OPEN, STORED, besides=NOT_PUT_ASIDE),
    "open of its checksums": Failure(Call.OPEN, "*/{hex}.xxh3"),
    "look": Failure(Call.LOOK, STORED),
}


@pytest.mark.parametrize("what", WARM)
async def test_a_stored_blob_that_cannot_be_read_is_fetched_again(
    machine: FailingMachine, fault_report: FaultReport, what: str
) -> None:
    """Put aside for a person; whoever asks has it from upstream."""
    failure, digest = WARM[what], machine.blob(LENGTH, AT_ONCE)
    await machine.keep(digest)
    async with failure.on(machine.disk, digest):
        outcomes = await machine.outcomes(digest, DEVICES)
        outcomes += await machine.outcomes(digest)
    failure.judge(outcomes, digest)
    assert machine.asked(digest) > 1
    await machine.is_well(digest)
    fault_report.row(
        f"EIO for a warm pull: {what}",
        f"{failure.cut(outcomes)} of {len(outcomes)} answers reset, the others whole and right",
        "fetched again, and kept",
    )


async def test_an_index_that_cannot_be_read_breaks_no_pull(
    machine: FailingMachine, fault_report: FaultReport
) -> None:
    """Nobody has a right that can be read: everybody is served by upstream meanwhile."""
    stored, cold = machine.blob(LENGTH, AT_ONCE), machine.blob(LENGTH, AT_ONCE)
    await machine.keep(stored)
    async with Failure(Call.READ, INDEX).on(machine.disk):
        # Another process wrote: what SQLite has in memory is no more the newest.
        machine.index_rows("UPDATE blobs SET uses = uses + 1")
        await machine.pull(stored, DEVICES)
        await machine.pull(cold, DEVICES)
    for each in (stored, cold):
        await machine.is_well(each)
    fault_report.row("EIO for reads of the index", "whole answers, right", "kept by the next pull")


async def test_a_scrub_goes_on_over_what_it_cannot_read(
    machine: FailingMachine, fault_report: FaultReport
) -> None:
    """What cannot be put aside either is not looked at again and again."""
    unread, unopened, stuck, sound = (machine.blob(LENGTH, AT_ONCE) for _ in range(4))
    for each in (unread, unopened, stuck, sound):
        await machine.keep(each)
    await eventually(lambda: not machine.held())
    async with AsyncExitStack() as stack:
        for failure, digest in (
            (Failure(Call.READ, STORED), unread),
            (Failure(Call.OPEN, STORED), unopened),
            (Failure(Call.READ, STORED, besides=NOT_PUT_ASIDE), stuck),
        ):
            await stack.enter_async_context(failure.on(machine.disk, digest))
        for place, digest in enumerate((stuck, unread, unopened, sound)):
            machine.index_rows(f"UPDATE blobs SET scrubbed_at = {place} WHERE digest = '{digest}'")
        await eventually(lambda: not machine.is_due(), SCRUBBED_SECONDS)
    assert not machine.is_stored(unread)
    assert not machine.is_stored(unopened)
    assert machine.is_stored(stuck)
    assert machine.is_stored(sound)
    for each in (unread, unopened, stuck):
        await machine.is_well(each)
    fault_report.row("EIO for the scrub: read, open, move", "nothing", "quarantined, fetched again")


MANIFEST: Final = {
    "open": Failure(Call.OPEN, ARRIVING),
    "write": Failure(Call.WRITE, ARRIVING),
    "sync": Failure(Call.SYNC, ARRIVING),
    "move": Failure(Call.RENAME, ARRIVING),
    "move, and removal": Failure(Call.RENAME, ARRIVING, besides=NOT_REMOVED),
    "folder": Failure(Call.MAKE_FOLDER, "*/ingest/*"),
    "write of the index": Failure(Call.WRITE, INDEX),
}


@pytest.mark.parametrize("what", MANIFEST)
async def test_a_manifest_outlives_it(
    machine: FailingMachine, fault_report: FaultReport, what: str
) -> None:
    """As a blob does: passed on, and kept the next time."""
    digest, pull = machine.manifest()
    async with MANIFEST[what].on(machine.disk):
        await pull()
        await pull()
    await pull()
    asked = machine.asked(digest)
    await pull()
    assert machine.asked(digest) == asked
    fault_report.row(f"EIO for a manifest: {what}", "the manifest, right", "kept by the next pull")


@pytest.mark.parametrize("call", [Call.READ, Call.OPEN])
async def test_a_stored_manifest_that_cannot_be_read_is_fetched_again(
    machine: FailingMachine, call: Call
) -> None:
    """It is in no memory yet."""
    digest, pull = machine.manifest()
    await pull()
    async with Failure(call, STORED).on(machine.disk, digest):
        await pull()
    await pull()
    assert machine.asked(digest) == 2
