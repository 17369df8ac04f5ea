"""Disks that are full, read-only or forget: devices get right bytes, and the store recovers."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from deploy.dev.device_ca import IssuedCertificate
from facade.values.piece import PIECE_BYTES
from tests.faults.report import FaultReport
from tests.faults.store_machine import Machine
from tests.faults.stored_files import partials, require_right_files, stored_blobs
from tests.support.device_stream import End
from tests.support.eventually import eventually
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.mounts import read_only, small_disk
from tests.support.rot import rot
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.pulls import outcome_of

DISK_BYTES = 24 * PIECE_BYTES
DEVICES = 4


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small file system."""
    with small_disk(tmp_path_factory.mktemp("small") / "disk", DISK_BYTES) as folder:
        yield folder


@pytest.fixture(scope="module")
def facade_settings(disk: Path) -> Mapping[str, str]:
    """The module's facade keeps blobs on it."""
    return {"FACADE_CACHE_DIR": str(disk / "cache"), "FACADE_CACHE_MAX_BYTES": "1GiB"}


@pytest.fixture
async def machine(
    disk: Path,
    facade: Facade,
    writer: StatementWriter,
    issued: IssuedCertificate,
    upstream: RegistrySimulator,
) -> Machine:
    """The module's facade, before a registry of the test's own."""
    await connect(facade, writer, upstream)
    return Machine(facade, facade.device(issued), upstream, disk / "cache")


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _forget_checksums(path: Path) -> None:
    path.with_name(f"{path.name}.xxh3").unlink()


def _other_checksums(path: Path) -> None:
    rot(path.with_name(f"{path.name}.xxh3"), 0)


ROT: dict[str, Callable[[Path], None]] = {
    "first bit": lambda path: rot(path, 0),
    "in the middle": lambda path: rot(path, PIECE_BYTES - 7),
    "last bit": lambda path: rot(path, -1),
    "cut": _cut,
    "emptied": lambda path: os.truncate(path, 0),
    "gone": lambda path: path.unlink(),
    "checksums gone": _forget_checksums,
    "checksums other": _other_checksums,
}


async def test_rot_is_never_served_as_right(machine: Machine, fault_report: FaultReport) -> None:
    """It is found before a clean end, put aside, and fetched again for the next pull."""
    digests = {how: machine.blob(PIECE_BYTES + 5) for how in ROT}
    for how, digest in digests.items():
        await machine.pull(digest)
        await machine.is_kept(digest)
        [file] = [path for path in stored_blobs(machine.cache) if path.name in digest]
        ROT[how](file)
        first = await outcome_of(machine.device, pull_path(machine.upstream, digest))
        is_clean = first.status == 200 and first.end is End.WHOLE
        assert not is_clean or first.digest == digest, how
        await machine.pull(digest)
        assert machine.asked(digest) == 2, how
    put_aside = list((machine.cache / "quarantine").iterdir())
    assert len(put_aside) >= len(ROT) - 2  # what is gone cannot be, and the oldest may be dropped
    fault_report.row(
        f"stored file rotten, in {len(ROT)} ways",
        "a reset, or a whole right answer; never a wrong one",
        "quarantined and fetched again",
    )


async def test_a_disk_that_fills_up_in_the_middle_cuts_nobody(
    machine: Machine, fault_report: FaultReport
) -> None:
    """Everybody goes on from upstream; nothing is kept, and what fits is kept again afterwards."""
    large, small = machine.blob(2 * DISK_BYTES), machine.blob(PIECE_BYTES)
    await machine.pull(large, DEVICES)
    assert 2 <= machine.asked(large) <= 1 + DEVICES
    await eventually(lambda: not partials(machine.cache))
    await machine.pull(small)
    await machine.is_kept(small)
    await machine.pull(small)
    assert machine.asked(small) == 1
    assert not machine.facade.log_lines(status=500)
    fault_report.row(
        "disk full in the middle of a download, 4 devices following",
        "whole answers, right",
        "each went on from upstream; the next blob that fits was kept",
    )


async def test_a_full_disk_is_emptied_of_what_is_used_least(
    machine: Machine, fault_report: FaultReport
) -> None:
    """Evict, then degrade: a disk smaller than the quota goes on taking what is new."""
    digests = [machine.blob(4 * PIECE_BYTES) for _ in range(8)]
    for digest in digests:
        await machine.pull(digest)
    require_right_files(machine.cache)
    await machine.pull(digests[-1])
    assert stored_blobs(machine.cache)
    assert not machine.facade.log_lines(status=500)
    fault_report.row(
        "disk smaller than the quota, filled by pulls",
        "whole answers, right",
        f"{len(stored_blobs(machine.cache))} of {len(digests)} are stored at the end",
    )


async def test_a_disk_without_a_byte_left_serves_what_is_stored_and_passes_on_the_rest(
    machine: Machine, disk: Path, fault_report: FaultReport
) -> None:
    """Something else filled it; when that is gone, blobs are kept again."""
    stored, cold, later = (machine.blob(2 * PIECE_BYTES) for _ in range(3))
    manifest = machine.upstream.manifest(b'{"schemaVersion":2,"config":{},"layers":[]}')
    await machine.pull(stored)
    await machine.is_kept(stored)
    ballast = disk / "ballast"
    _fill(ballast)
    await machine.pull(stored, DEVICES)
    await machine.pull(cold, DEVICES)
    path = pull_path(machine.upstream, manifest, kind="manifests")
    for _ in range(2):
        assert (await machine.device.get(path)).status == 200
    require_right_files(machine.cache)
    ballast.unlink()
    await machine.pull(later)
    await machine.is_kept(later)
    assert not machine.facade.log_lines(status=500)
    fault_report.row(
        "disk filled to the last byte by something else",
        "stored and cold blobs and manifests, whole and right",
        "kept again as soon as there was room",
    )


async def test_a_facade_starts_on_a_full_disk(
    machine: Machine, disk: Path, fault_report: FaultReport
) -> None:
    """Killed while there is not a byte left, it serves again what is stored, and passes on."""
    stored, cold, later = (machine.blob(2 * PIECE_BYTES) for _ in range(3))
    await machine.pull(stored)
    await machine.is_kept(stored)
    ballast = disk / "ballast"
    _fill(ballast)
    machine.facade.child.kill()
    machine.facade.restart()
    await machine.pull(stored, DEVICES)
    await machine.pull(cold, DEVICES)
    assert machine.asked(stored) == 1
    ballast.unlink()
    await machine.pull(later)
    await machine.is_kept(later)
    fault_report.row(
        "SIGKILL of the facade on a disk without a byte left",
        "stored and cold blobs, whole and right, as soon as it ran again",
        "kept again as soon as there was room",
    )


async def test_a_read_only_store_serves_what_it_has_and_passes_on_the_rest(
    machine: Machine, fault_report: FaultReport
) -> None:
    """As after an error of the file system; when it is mended, blobs are kept again."""
    stored, cold, later = (machine.blob(2 * PIECE_BYTES) for _ in range(3))
    await machine.pull(stored)
    await machine.is_kept(stored)
    with read_only(machine.cache):
        await machine.pull(stored, DEVICES)
        await machine.pull(cold, DEVICES)
        assert machine.asked(stored) == 1
    await machine.pull(later)
    await machine.is_kept(later)
    assert not machine.facade.log_lines(status=500)
    fault_report.row(
        "store read-only",
        "stored and cold blobs, whole and right",
        "kept again as soon as it could be written",
    )


def _fill(path: Path) -> None:
    """Write until there is not a byte left."""
    with path.open("wb", buffering=0) as file:
        size = PIECE_BYTES
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
