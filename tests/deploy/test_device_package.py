"""The device agent's package on a clean Debian under real systemd: its page, typed line by line."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from deploy.dev.device_ca import CertificateAuthority
from deploy.dev.podman import Podman
from tests.deploy.installed_machine import InstalledMachine
from tests.deploy.release_files import Release
from tests.support.examples import example
from tests.support.signed_fleet import BETTER, GOOD, SignedFleet, model_of
from tests.support.simulators.behaviour import Answers
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

PAGE = "deploy/devices/agent/README.md"
UNIT, TIMER = "device-agent.service", "device-agent.timer"
MODEL = PurePosixPath("/var/lib/models/vision.onnx")
BEST = b"best model! " * 9000
MAX_EXPOSURE = "20"  # tenths, as of the product's own units
# What the owner's commands inherit: whatever podman starts would inherit the same.
SEEN = "/var/lib/seen"
LOOK = (
    "{ readlink /proc/self/ns/*; grep -E 'Seccomp:|NoNewPrivs|CapBnd|Umask' /proc/self/status;"
    f" nice; ionice; }} > {SEEN}"
)
HEALTH = f'\nhealth = {{ command = ["/bin/sh", "-c", "{LOOK}"] }}\n'
INFERENCE = b"[Service]\nExecStart=/bin/sleep 1000\nExecReload=/bin/true\n"


@pytest.fixture(scope="module")
def machine(
    podman: Podman,
    release: Release,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
) -> Iterator[InstalledMachine]:
    """A device, with what uses its model."""
    with InstalledMachine.booted(podman, release, server_ca, device_ca) as machine:
        machine.write(PurePosixPath("/etc/systemd/system/inference.service"), INFERENCE, "0644")
        machine.run("systemctl daemon-reload && systemctl start inference")
        yield machine


def page(beginning: str) -> str:
    """Return the block of the page that begins so."""
    return example(PAGE, beginning).text


def bring(machine: InstalledMachine, fleet: SignedFleet) -> None:  # noqa: F811
    """Bring what a device is delivered with: its certificate, the CA, the root, its slots."""
    own = fleet.device.certificate
    machine.run("mkdir -p /etc/device")
    for name, path in (
        ("ca.crt", fleet.device.server_ca),
        ("client.cert", own.certificate),
        ("client.key", own.key),
    ):
        machine.write(PurePosixPath("/etc/device", name), path.read_bytes(), "0600")
    machine.write(PurePosixPath("/root/root.json"), fleet.root.read_bytes(), "0644")
    top, _, slots = page('fleet = "line-a"').partition("[slots.app]")
    text = top + slots[slots.index("[slots.vision]") :].rstrip() + HEALTH
    for shown, real in (
        ("https://updates.example/line-a/", fleet.device.metadata_url),
        ("https://facade.example:8443", fleet.device.facade_url),
    ):
        assert shown in text
        text = text.replace(shown, real)
    machine.write(PurePosixPath("/etc/device-agent/agent.toml"), text.encode(), "0644")


def held(machine: InstalledMachine) -> bytes:
    """Return the digest of the model, as a user without rights reads it."""
    sum_of = machine.run(f"setpriv --reuid=65534 --clear-groups sha256sum {MODEL}")
    return bytes.fromhex(sum_of.split()[0])


def digest(content: bytes) -> bytes:
    """Return what `held` says of a content."""
    return hashlib.sha256(content).digest()


async def test_a_device_is_set_up_updated_upgraded_and_given_back(
    machine: InstalledMachine,
    fleet: SignedFleet,  # noqa: F811 the fixture
) -> None:
    """What the page says, and what an operator does in a device's life."""
    machine.run("dpkg --install /release/device-agent_*.deb")
    assert not machine.tells(f"systemctl is-enabled {TIMER}")
    bring(machine, fleet)
    assert "no root is pinned" in machine.run("device-agent update 2>&1 || true")
    fleet.release(model_of(GOOD), "vision")
    said = machine.run(f"cd /root; {page('device-agent install')}")
    assert "2 of 3 keys" in said
    strictest = "umask 077\n"  # which must not hide the model from who uses it
    said = await asyncio.to_thread(machine.run, strictest + page("device-agent update"))
    assert "healthy: vision=" in said
    assert model_of(GOOD).digest in said
    assert held(machine) == digest(GOOD)
    assert machine.tells(f"systemctl is-active {TIMER}")

    fleet.release(model_of(BETTER), "vision")
    await asyncio.to_thread(machine.systemctl, "start", UNIT)
    assert held(machine) == digest(BETTER)
    assert machine.run(f"cat {SEEN}") == machine.run(LOOK.replace(SEEN, "/dev/stdout"))
    fleet.mirror.lies["timestamp.json"] = Answers(503)
    await asyncio.to_thread(machine.systemctl, "start", UNIT)
    assert machine.show(UNIT, "ExecMainStatus") == "75"
    assert machine.show(UNIT, "Result") == "success"
    fleet.mirror.lies.clear()

    confine(machine)
    fleet.release(model_of(BEST), "vision")
    await asyncio.to_thread(machine.systemctl, "start", UNIT)
    assert held(machine) == digest(BEST)
    assert "NoNewPrivs:\t1\nSeccomp:\t2" in machine.run(f"cat {SEEN}")
    assert machine.run(f"stat --format=%h {MODEL}") == "2"  # a second name, and no copy
    assert "what is applied is what was signed" in machine.run("device-agent verify")

    machine.run("dpkg --install /release/device-agent_*.deb")
    assert machine.tells(f"systemctl is-active {TIMER}")
    await asyncio.to_thread(machine.systemctl, "start", UNIT)
    machine.run("dpkg --purge device-agent")
    assert not machine.tells(f"systemctl is-enabled {TIMER}")
    assert not machine.tells("test -e /usr/lib/device-agent -o -e /usr/bin/device-agent")
    assert held(machine) == digest(BEST)
    assert machine.tells("test -s /var/lib/device-agent/journal.json")
    assert machine.tells("test -s /etc/device-agent/agent.toml")


def confine(machine: InstalledMachine) -> None:
    """Take from the agent what a device of models does not need; it is as much as can be."""
    folder = f"/etc/systemd/system/{UNIT}.d"
    machine.run(f"mkdir -p {folder} && cp /usr/share/device-agent/models-only.conf {folder}")
    machine.run("systemctl daemon-reload")
    said = machine.run(f"systemd-analyze verify --recursive-errors=no {UNIT} {TIMER} 2>&1")
    assert said == ""
    machine.run(f"systemd-analyze security --threshold={MAX_EXPOSURE} {UNIT}")
