"""The device agent as a user without rights, with rootless podman.

Its program is that of the Debian package, on Debian's own Python, because such a user may not reach
the checkout. The user has one id and no others, as on a device that nobody set up for podman.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import evolve, frozen

from deploy.dev.device_ca import CertificateFiles
from deploy.release.program_tree import DEVICE_AGENT, PYTHON, SITE_PACKAGES
from tests.deploy.release_files import Release
from tests.deploy.test_device_agent import HEALTH, SLOT, app
from tests.support.agent_device import SURROUNDINGS, AgentDevice
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

NOBODY = 65534
RUN_SECONDS = 300
CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"""
STORAGE = '[storage]\ndriver = "vfs"\n[storage.options]\nignore_chown_errors = "true"\n'


@frozen
class OwnUser:
    """A user with a home, in which the agent's program lies too."""

    home: Path

    @classmethod
    def make(cls, home: Path, release: Release) -> "OwnUser":
        """Fill the home."""
        settings = home / ".config" / "containers"
        settings.mkdir(parents=True)
        (settings / "containers.conf").write_text(CONTAINERS)
        (settings / "storage.conf").write_text(STORAGE)
        (home / "run").mkdir(mode=0o700)
        subprocess.run(["dpkg-deb", "-x", release.device_package, home / "program"], check=True)
        made = cls(home)
        made.own()
        return made

    def own(self) -> None:
        """Have all that was put there be the user's."""
        for path in (self.home, *self.home.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program as this user, to whatever end."""
        as_user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        return subprocess.run(
            [*as_user, *command],
            env=self._environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )

    async def agent(self, device: AgentDevice, *arguments: str) -> str:
        """Run `device-agent ARGUMENTS`; how it ended, and what it said."""
        config = device.write_configuration()
        command = (PYTHON, "-P", "-m", "device_agent", "--config", str(config), *arguments)
        done = await asyncio.to_thread(self.run, *command)
        return f"{done.returncode}: {done.stdout}{done.stderr}"

    def versions(self) -> list[str]:
        """Return what runs, by its own word."""
        names = self.run("podman", "ps", "--format={{.Names}}").stdout.split()
        shown = ("/bin/busybox", "cat", "/version")
        return [self.run("podman", "exec", name, *shown).stdout for name in names]

    @property
    def _environment(self) -> Mapping[str, str]:
        packages = self.home / "program" / DEVICE_AGENT.prefix.relative_to("/") / SITE_PACKAGES
        return {
            **SURROUNDINGS,
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.home / "run"),
            "PYTHONPATH": str(packages),
        }


@pytest.fixture
def user(release: Release) -> Iterator[OwnUser]:
    """A user whose containers end with the test."""
    home = Path(tempfile.mkdtemp(prefix="user-", dir="/tmp"))
    made = OwnUser.make(home, release)
    yield made
    made.run("podman", "rm", "--all", "--force", "--time=0")
    made.run("podman", "system", "migrate")  # which ends the process that keeps its namespaces
    shutil.rmtree(home)


def device_of(fleet: SignedFleet, user: OwnUser) -> AgentDevice:  # noqa: F811
    """Return the fleet's device, as this user's."""
    own, folder = fleet.device.certificate, user.home / "device"
    folder.mkdir()
    shutil.copy(own.certificate, folder / "client.cert")
    shutil.copy(own.key, folder / "client.key")
    shutil.copy(fleet.device.server_ca, folder / "ca.crt")
    shutil.copy(fleet.root, folder / "root.json")
    health: dict[str, Any] = {"command": HEALTH, "within_seconds": 0.0}
    device = evolve(
        fleet.device,
        folder=folder,
        certificate=CertificateFiles(folder / "client.cert", folder / "client.key"),
        server_ca=folder / "ca.crt",
        slots={"app": {**SLOT, "health": health}},
    )
    device.write_configuration()
    user.own()
    return device


@pytest.mark.long
async def test_a_user_without_rights_updates_its_containers(
    fleet: SignedFleet,  # noqa: F811 the fixture
    user: OwnUser,
) -> None:
    """Applied, taken back, replaced, and verified: as root's."""
    device = device_of(fleet, user)
    said = await user.agent(device, "install", "--root", str(device.folder / "root.json"))
    assert said.startswith("0: pinned root"), said
    fleet.release(app("1"), "app")
    said = await user.agent(device, "update")
    assert (said[:3], user.versions()) == ("0: ", ["1"]), said
    fleet.release(app("2", is_well=False), "app")
    said = await user.agent(device, "update")
    assert (said[:3], user.versions()) == ("1: ", ["1"]), said
    fleet.release(app("3"), "app")
    said = await user.agent(device, "update")
    assert (said[:3], user.versions()) == ("0: ", ["3"]), said
    said = await user.agent(device, "verify")
    assert said.startswith("0: "), said
    status = orjson.loads((await user.agent(device, "status", "--json")).partition(": ")[2])
    assert status["applied"]["app"].endswith(app("3").digest)
