"""The device agent with real containers on a machine that dies while podman applies one.

Whatever is killed at whichever call of podman, and wherever power is cut: no container ever runs
that is of neither release, and the next runs end what was begun. `make test-deploy` tries each
call, `make check-deploy` one.
"""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from attrs import evolve, frozen

from deploy.dev.podman import Podman
from deploy.dev.processes import Child
from device_agent.machine import Phase
from tests.deploy.conftest import DEPLOY
from tests.deploy.test_device_agent import HEALTH, SLOT, app, containers, running
from tests.faults.test_device_agent import an_empty_disk, mounted
from tests.support.agent_device import AgentDevice
from tests.support.eventually import eventually
from tests.support.signed_fleet import SignedFleet
from tests.system.devices.conftest import fleet  # noqa: F401 - the same fleet
from tests.system.facade.conftest import (  # noqa: F401 - the same facade
    facade,
    facade_database,
    facade_prefix,
    facade_settings,
    issued,
    upstream,
    writer,
)

# Stands in podman's place, and says of each call that it has come, a byte for each. At one of them
# it kills: the agent before podman begins, or when podman is done and before the agent hears of it;
# podman after some time; or both then. While `held` has less bytes than there were calls it waits.
SHIM = """#!/bin/sh
printf . >> {calls}
calls=$(stat --format=%s {calls})
while [ -e {held} ] && [ "$(stat --format=%s {held})" -lt "$calls" ]; do sleep 0.02; done
if [ "$calls" != "$DIES_AT" ]; then exec podman "$@"; fi
case "$DIES" in
  agent) kill -9 $PPID; exec podman "$@" ;;
  "agent, podman done") podman "$@"; kill -9 $PPID ;;
  podman) exec timeout --signal=KILL "$AFTER" podman "$@" ;;
  both) timeout --signal=KILL "$AFTER" podman "$@"; kill -9 $PPID ;;
esac
"""
DEATHS = ("agent", "agent, podman done", "podman", "both")
EACH_DEATH = pytest.mark.parametrize(
    "death", [pytest.param(each, marks=[pytest.mark.long][: each != "both"]) for each in DEATHS]
)
AFTER_SECONDS = ("0.03", "0.1", "0.2")  # of a call of 0.1 to 0.5: in its middle, or behind it
CALLS = DEPLOY.extent((7,), tuple(range(1, 100)))  # of an update; it has some twenty
RUNS = 6  # an apply may be begun three times, and a rollback as often
END_SECONDS = 300


@frozen
class Dying:
    """A device, and what stands in podman's place."""

    device: AgentDevice
    podman: Podman
    calls_file: Path
    held_file: Path

    @classmethod
    def on(cls, device: AgentDevice, podman: Podman, folder: Path) -> "Dying":
        """Have a device hold a container, and podman be what may die; the files are in a folder."""
        folder.mkdir(exist_ok=True)
        shim, calls, held = (folder / name for name in ("podman", "calls", "held"))
        shim.write_text(SHIM.format(calls=calls, held=held))
        shim.chmod(0o755)
        health = {"command": [str(shim), *HEALTH[1:]], "within_seconds": 0.0}
        slots = {"app": {**SLOT, "health": health}}
        environment = podman.environment
        own = evolve(device, slots=slots, podman=[str(shim)], environment=environment)
        return cls(own, podman, calls, held)

    async def update(self, *arguments: str, **environment: str) -> int:
        """Run an update to whatever end; return how it ended."""
        self.calls_file.write_text("")
        surroundings = {**self.device.environment, **environment}
        child = evolve(self.device, environment=surroundings).start("update", *arguments)
        return await asyncio.to_thread(child.process.wait, END_SECONDS)

    @property
    def calls(self) -> int:
        """How often podman was called in this run."""
        return self.calls_file.stat().st_size

    async def comes_to(self, call: int, child: Child) -> None:
        """Wait for a call of podman, or for the end of the update."""
        await eventually(lambda: self.calls >= call or not child.running)

    async def until_over(self) -> None:
        """Run it as the timer does, until nothing is under way."""
        for _ in range(RUNS):
            status = await self.update()
            if status in {0, 1} and self.device.journal.phase is Phase.IDLE:
                return
        pytest.fail(f"still {self.device.journal.phase} after {RUNS} runs")

    def expect(self, *allowed: str) -> None:
        """Look whether what runs is one of these versions; "": nothing runs."""
        assert " ".join(running(self.podman)) in allowed


@pytest.fixture
def dying(fleet: SignedFleet, podman: Podman, tmp_path: Path) -> Dying:  # noqa: F811
    """A device whose podman may be killed, and which runs its first release."""
    return Dying.on(fleet.device, podman, tmp_path / "shim")


@EACH_DEATH
async def test_a_kill_at_any_call_of_podman_is_survived(
    fleet: SignedFleet,  # noqa: F811 the fixture
    dying: Dying,
    death: str,
) -> None:
    """Pull, look, create, stop, start, check, tidy: the next runs have the new one run alone."""
    fleet.release(app("0"), "app")
    assert await dying.update() == 0
    version = 0
    for at in CALLS:
        before, wanted = str(version), str(version + 1)
        fleet.release(app(wanted), "app")
        after = AFTER_SECONDS[at % len(AFTER_SECONDS)]
        await dying.update(DIES=death, DIES_AT=str(at), AFTER=after)
        if dying.calls < at:
            break
        dying.expect(before, wanted, "")
        await dying.until_over()
        dying.expect(before, wanted)
        assert await dying.update("--again") == 0  # podman's death may have failed the release
        dying.expect(wanted)
        assert len(containers(dying.podman, "--all")) == 1
        version += 1
    assert version > DEPLOY.extent(0, 10)


@pytest.mark.long
@pytest.mark.parametrize("death", DEATHS)
async def test_a_kill_at_any_call_of_a_rollback_is_survived(
    fleet: SignedFleet,  # noqa: F811 the fixture
    dying: Dying,
    death: str,
) -> None:
    """The release is not well: whatever dies on the way, what ran before runs again."""
    fleet.release(app("good"), "app")
    assert await dying.update() == 0
    version = 0
    for at in CALLS:
        fleet.release(app(f"bad {version}", is_well=False), "app")
        after = AFTER_SECONDS[at % len(AFTER_SECONDS)]
        await dying.update(DIES=death, DIES_AT=str(at), AFTER=after)
        if dying.calls < at:
            break
        dying.expect("good", f"bad {version}", "")
        await dying.until_over()
        dying.expect("good")
        assert len(containers(dying.podman, "--all")) == 1
        version += 1
    assert version > DEPLOY.extent(0, 10)


async def test_power_may_be_cut_while_podman_applies(
    fleet: SignedFleet,  # noqa: F811 the fixture
    tmp_path: Path,
) -> None:
    """Before each call of podman and in its middle, on ext4: what was not synced is gone."""
    disk, place = an_empty_disk(tmp_path / "disk"), tmp_path / "mounted"
    with mounted(disk, place):
        dying = _installed_on(place, fleet, tmp_path)
        fleet.release(app("1"), "app")
        assert await dying.update() == 0
        os.sync()
        fleet.release(app("2"), "app")
        cuts = await _cut_at_calls(dying, disk, tmp_path)
        dying.expect("2")
        _end_all(dying.podman)
    for cut in cuts:
        with mounted(cut, place):
            for folder in ("run", "tmp"):  # which a start of the machine empties
                shutil.rmtree(dying.podman.folder / folder, ignore_errors=True)
            await dying.until_over()
            assert (dying.device.journal.problem, cut) == (None, cut)
            dying.expect("2")
            assert (await dying.device.run("verify")).status == 0
            _end_all(dying.podman)
        cut.unlink()


def _installed_on(place: Path, fleet: SignedFleet, folder: Path) -> Dying:  # noqa: F811
    """Return a device that has all on one disk, podman's files too."""
    podman = Podman.of_this_checkout(place / "podman")
    limits = {**fleet.device.limits, "keep_free_bytes": 0}
    device = evolve(fleet.device, folder=place / "device", limits=limits)
    made = Dying.on(device, podman, folder / "shim")
    made.device.install(fleet.root)
    return made


async def _cut_at_calls(dying: Dying, disk: Path, folder: Path) -> list[Path]:
    """Update; return copies of the disk, made while nobody writes."""
    dying.calls_file.write_text("")
    dying.held_file.write_text("")
    child = dying.device.start("update")
    cuts: list[Path] = []
    for call in range(1, 100):
        await dying.comes_to(call, child)
        if not child.running:
            break
        wanted = call in CALLS
        if wanted:
            cuts.append(_copied(disk, folder / f"cut-{call}"))
        dying.held_file.write_text("." * call)
        if wanted:
            await asyncio.sleep(float(AFTER_SECONDS[call % len(AFTER_SECONDS)]))
            child.pause()
            cuts.append(_copied(disk, folder / f"cut-{call}-begun"))
            child.resume()
    dying.held_file.unlink()
    assert child.process.wait() == 0
    return cuts


def _copied(disk: Path, cut: Path) -> Path:
    subprocess.run(["cp", "--sparse=always", disk, cut], check=True)
    return cut


def _end_all(podman: Podman) -> None:
    """End every container, as a machine's end does."""
    podman.run("rm", "--all", "--force", "--time=0")
