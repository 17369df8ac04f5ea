"""The device agent on a machine that dies: killed, cut from power, and on a link that breaks.

A power cut is a real one for the file system: ext4 on a loop device whose backing file is copied
while the agent works. What was not synced is in nobody's copy. It takes root.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import evolve

from deploy.dev.image import Image
from deploy.dev.processes import Child
from device_agent.machine import Phase
from device_agent.partial import PIECE_BYTES
from tests.faults.extent import extent
from tests.faults.report import FaultReport
from tests.support.agent_device import AgentDevice
from tests.support.eventually import eventually
from tests.support.memory import MIB
from tests.support.signed_fleet import BETTER, GOOD, SignedFleet, model_of
from tests.support.simulators.behaviour import BreaksEvery
from tests.system.devices.conftest import fleet  # noqa: F401 the same fleet

DEADLY = Path(__file__).parent / "deadly"


@pytest.fixture
async def running(fleet: SignedFleet) -> SignedFleet:  # noqa: F811 the fixture
    """A fleet whose device runs its first release, and whose second one is shown."""
    fleet.release(model_of(GOOD))
    done = await fleet.device.update()
    assert done.status == 0, done
    return fleet


async def ended(device: AgentDevice, **environment: str) -> int:
    """Run an update as a timer does, to whatever end; return how it ended."""
    child = evolve(device, environment=environment).start("update")
    return await asyncio.to_thread(child.process.wait, 120)


async def test_a_kill_before_any_touch_of_a_file_is_survived(
    running: SignedFleet, fault_report: FaultReport
) -> None:
    """The next run ends what was begun; before that the device holds one release or the other."""
    device, kept = running.device, running.device.folder.with_name("kept")
    shutil.copytree(device.folder, kept, symlinks=True)
    running.release(model_of(BETTER))
    died, at = 0, 1
    while True:
        _put_back(kept, device.folder)
        status = await ended(
            device, PYTHONPATH=str(DEADLY), DIES_BELOW=str(device.folder), DIES_AT=str(at)
        )
        if status != -signal.SIGKILL:
            break
        died += 1
        assert device.holds in {GOOD, BETTER}, at
        assert (await device.update()).status == 0, at
        assert (device.holds, device.journal.phase) == (BETTER, Phase.IDLE), at
        at += extent(12, 1)
    assert status == 0
    assert died > extent(4, 60)
    fault_report.row(f"device agent killed at {died} touches of a file", "nothing", "next run")


def _put_back(kept: Path, place: Path) -> None:
    """Have a folder be what it was; hard links become copies, which the agent knows again."""
    shutil.rmtree(place)
    shutil.copytree(kept, place, symlinks=True)


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """Mount a file as ext4 that writes nothing back by itself."""
    place.mkdir(exist_ok=True)
    options = "loop,commit=600,noauto_da_alloc"
    done = subprocess.run(["mount", "-o", options, image, place], capture_output=True, check=False)
    assert done.returncode == 0, f"power cuts need root, and a loop device: {done.stderr!r}"
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


async def test_power_may_be_cut_at_any_moment(
    running: SignedFleet, tmp_path: Path, fault_report: FaultReport
) -> None:
    """What was not synced is gone; what the device runs is right, and so is the next run's end."""
    disk, place = an_empty_disk(tmp_path / "disk"), tmp_path / "mounted"
    cuts: list[Path] = []
    with mounted(disk, place):
        limits = {**running.device.limits, "keep_free_bytes": 0}
        device = evolve(running.device, folder=place / "device", slots={}, limits=limits)
        device.install(running.root)
        assert (await device.update()).status == 0
        os.sync()
        big = model_of(BETTER * (5 * PIECE_BYTES // len(BETTER)))
        running.release(big)
        running.registry.blob(big.layers[0].body, get=BreaksEvery(3 * MIB))
        child = device.start("update")
        came, is_over = [], False
        while not is_over and len(cuts) < extent(7, 60):
            is_over = not child.running  # what is copied then was never synced by others
            cuts.append(tmp_path / f"cut-{len(cuts)}")
            came.append(await _copy_at_rest(child, device, disk, cuts[-1]))
            await asyncio.sleep(extent(0.25, 0.04))
        assert await asyncio.to_thread(child.process.wait, 120) == 0
    running.registry.blob(big.layers[0].body)
    held = []
    for cut, size in zip(cuts, came, strict=True):
        running.front.requests.clear()
        held.append(await _after_the_cut(cut, place, device, big))
        assert size - _asked_from(running, big) <= PIECE_BYTES, (cut, size)
    fault_report.row(
        f"power cut at {len(held)} moments of an update",
        f"{held.count(False)} times the release before, else the new one; nothing else",
        "next run",
    )


async def _copy_at_rest(child: Child, device: AgentDevice, disk: Path, cut: Path) -> int:
    """Copy the disk while nobody writes; return how much of the blob the device had read.

    A copy of two moments would be no cut: no disk is like that. A thread stops once it is out of
    the kernel: what it was syncing is on the disk then.
    """
    if child.running:
        child.pause()
        await eventually(lambda: not child.running or _is_at_rest(child))
    arriving = [path.stat().st_size for path in (device.state / "store" / "arriving").iterdir()]
    await asyncio.to_thread(shutil.copyfile, disk, cut)
    if child.running:
        child.resume()
    return max(arriving, default=0)


def _is_at_rest(child: Child) -> bool:
    """Tell whether each thread of a process that was paused has stopped (proc(5), stat)."""
    threads = [*Path(f"/proc/{child.pid}/task").iterdir()]
    states = [(each / "stat").read_text().rpartition(")")[2].split()[0] for each in threads]
    return set(states) == {"T"}


def _asked_from(running: SignedFleet, big: Image) -> int:
    """Return from which byte on the device asked for the blob; its end if it did not ask."""
    asked = [r for r in running.front.requests if r.path.endswith(big.layers[0].digest)]
    if not asked:
        return len(big.layers[0].body)
    return int((asked[0].header("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])


async def _after_the_cut(cut: Path, place: Path, device: AgentDevice, big: Image) -> bool:
    """Start the machine again; return whether it already held the new release."""
    with mounted(cut, place):
        held = device.holds
        assert held in {GOOD, big.layers[0].body}
        done = await device.update()
        assert done.status == 0, done
        assert device.holds == big.layers[0].body
        assert (await device.run("verify")).status == 0
    return held != GOOD


def an_empty_disk(path: Path) -> Path:
    """Make a file that is an empty file system."""
    with path.open("wb") as file:
        file.truncate(96 * MIB)
    subprocess.run(["mkfs.ext4", "-q", path], check=True)
    return path
