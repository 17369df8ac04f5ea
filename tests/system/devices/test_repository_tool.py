"""The tool that signs for fleets, by its commands, and what a device then believes of it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from device_repository.cli import main
from tests.support.agent_device import AgentDevice
from tests.support.signed_fleet import BETTER, GOOD, SignedFleet, model_of


class Tool:
    """Runs commands in one repository, with keys beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = folder / "keys"

    def run(self, *arguments: str | Path, fails: bool = False) -> str:
        """`device-repository ARGUMENTS`; what it says."""
        command = ["--folder", str(self.folder), *map(str, arguments)]
        done = CliRunner().invoke(main, command)
        assert (done.exit_code != 0) == fails, done.output
        return done.output

    def make_keys(self, *names: str) -> None:
        """Make keys."""
        for name in names:
            self.run("key", name, "--out", self.keys)

    def public(self, *names: str, option: str = "--key") -> list[str]:
        """Name keys to a command."""
        return [word for name in names for word in (option, str(self.keys / f"{name}.public.pem"))]

    def sign(self, role: str, *names: str) -> str:
        """Sign a draft with several keys; what the last one was told."""
        said = ""
        for name in names:
            said = self.run("sign", role, "--key", self.keys / f"{name}.private.pem")
        return said

    def publish(self, *, fails: bool = False) -> str:
        """Show devices what is signed."""
        return self.run("publish", "--online-key", self.keys / "online.private.pem", fails=fails)


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    """A repository of the fleet line-a, of two owners, published."""
    made = Tool(tmp_path / "owned")
    made.make_keys("anna", "ben", "carl", "online")
    made.run(
        "init",
        *made.public("anna", "ben", "carl", option="--root-key"),
        *("--root-threshold", "2"),
        *made.public("anna", "ben", option="--targets-key"),
        *("--targets-threshold", "2"),
        *made.public("online", option="--online-key"),
    )
    made.run("keys", "line-a", *made.public("anna", "ben", "carl"), "--threshold", "2")
    for role in ("root", "targets"):
        made.sign(role, "anna", "ben")
    made.run("assign", "line-a", "first", "--repository", "h/r", "--manifest", _manifest(tmp_path))
    made.sign("line-a", "anna", "carl")
    made.publish()
    return made


def _manifest(folder: Path, content: bytes = GOOD) -> Path:
    path = folder / "manifest.json"
    path.write_bytes(model_of(content).manifest.body)
    return path


async def test_a_device_runs_what_two_owners_have_signed(
    tool: Tool, fleet: SignedFleet, tmp_path: Path
) -> None:
    """And another thing if it is named for this device alone, until that is withdrawn."""
    device, place = _device_of(tool, fleet), ("--repository", fleet.path)
    for each in (GOOD, BETTER):
        fleet.push(model_of(each))
    tool.run("assign", "line-a", "model", *place, "--manifest", _manifest(tmp_path))
    one = _manifest(tmp_path, BETTER)
    tool.run("assign", "line-a", "model", "--device", "press-7", *place, "--manifest", one)
    assert "line-a: 1 signatures are missing" in tool.sign("line-a", "ben")
    assert "line-a lacks 1" in tool.publish(fails=True)
    assert "line-a: signed" in tool.sign("line-a", "carl")
    tool.publish()
    assert (await device.update()).status == 0
    assert device.holds == BETTER
    tool.run("withdraw", "line-a", "model", "--device", "press-7")
    tool.sign("line-a", "anna", "ben")
    tool.publish()
    assert (await device.update()).status == 0
    assert device.holds == GOOD


async def test_a_key_that_was_taken_away_counts_no_more(
    tool: Tool, fleet: SignedFleet, tmp_path: Path
) -> None:
    """Of the fleet, of the root, and the online one; devices follow."""
    device = _device_of(tool, fleet)
    fleet.push(model_of(GOOD))
    tool.make_keys("dora", "online-2")
    tool.run("keys", "root", *tool.public("anna", "ben", "dora"), "--threshold", "2")
    for role in ("snapshot", "timestamp"):
        tool.run("keys", role, *tool.public("online-2"))
    assert "root: signed" not in tool.sign("root", "ben", "dora")  # the old root's two as well
    tool.sign("root", "carl")
    tool.run("keys", "line-a", *tool.public("dora", "ben"), "--threshold", "2")
    tool.sign("targets", "anna", "ben")
    name = ("--repository", fleet.path, "--manifest", _manifest(tmp_path))
    tool.run("assign", "line-a", "model", *name)
    assert "line-a: 1" in tool.sign("line-a", "anna", "ben")
    tool.sign("line-a", "dora")
    assert "do not sign" in tool.publish(fails=True)
    tool.run("publish", "--online-key", tool.keys / "online-2.private.pem")
    assert (await device.update()).status == 0
    assert device.holds == GOOD
    assert {floor.role: floor.version for floor in device.journal.floors}["root"] == 2


def test_what_cannot_be_is_said(tool: Tool, tmp_path: Path) -> None:
    """And nothing is published of it."""
    before = sorted((tool.folder / "published").iterdir())
    anna = tool.public("anna")
    online = tool.public("online", option="--online-key")
    again = [*tool.public("anna", option="--root-key"), *tool.public("ben", option="--targets-key")]
    assert "already" in tool.run("init", *again, *online, fails=True)
    assert "threshold" in tool.run("keys", "line-b", *anna, "--threshold", "2", fails=True)
    assert "letters" in tool.run("keys", "line-*", *anna, fails=True)
    assert "no draft" in tool.run(
        "sign", "root", "--key", tool.keys / "anna.private.pem", fails=True
    )
    assert "nothing" in tool.run("withdraw", "line-a", "model", fails=True)
    public = tool.keys / "anna.public.pem"
    assert "no private key" in tool.run("sign", "root", "--key", public, fails=True)
    assert "exists" in tool.run("key", "anna", "--out", tool.keys, fails=True)
    private = tool.keys / "anna.private.pem"
    assert private.stat().st_mode & 0o077 == 0
    assert sorted((tool.folder / "published").iterdir()) == before
    empty = Tool(tmp_path / "empty")
    online_key = tool.keys / "online.private.pem"
    assert "begin with init" in empty.run("publish", "--online-key", online_key, fails=True)


def _device_of(tool: Tool, fleet: SignedFleet) -> AgentDevice:
    """Have the mirror show the tool's repository, and the device pin its root."""
    fleet.mirror.folder = tool.folder / "published"
    device = AgentDevice(
        fleet.device.folder.with_name("owned-device"),
        fleet.device.certificate,
        fleet.device.server_ca,
        fleet.device.metadata_url,
        fleet.device.facade_url,
    )
    device.install(tool.folder / "published" / "1.root.json")
    return device
