"""The device agent with real containers: podman and runc, and an image through a real facade."""

import gzip

import pytest
from attrs import evolve
from backports import zstd

from deploy.dev import debian
from deploy.dev.image import (
    LAYER,
    Content,
    Image,
    ImageIndex,
    make_image,
    make_index,
    with_layer,
)
from deploy.dev.podman import Podman
from device_agent.machine import Phase
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

HEALTH = ["podman", "exec", "{container}", "/bin/busybox", "test", "-e", "/is-well"]
SLOT = {"kind": "container", "options": ["--network=none", "--stop-timeout=1"]}


def app(version: str, *, is_well: bool = True, architecture: str | None = None) -> Image:
    """Return an image of a version; one that is not well has a file less."""
    busybox = debian.program("busybox", "busybox-static").read_bytes()
    files = {"bin/busybox": busybox, "version": version.encode()}
    if is_well:
        files["is-well"] = b""
    command = ["/bin/busybox", "sleep", "1000"]
    return make_image(files, command=command, architecture=architecture)


def an_index_of(image: Image) -> ImageIndex:
    """Return an index of an image whose layer is packed with zstd, behind another machine's."""
    tar = gzip.decompress(image.layers[0].body)
    layer = Content(LAYER.replace("gzip", "zstd"), zstd.compress(tar))
    other = app("other", architecture="s390x")
    return make_index([other, with_layer(image, layer)])


@pytest.fixture
def owned(fleet: SignedFleet, podman: Podman) -> SignedFleet:  # noqa: F811 the fixture
    """A fleet whose device runs a container."""
    health = {"command": HEALTH, "within_seconds": 0.0}
    fleet.device = evolve(
        fleet.device,
        slots={"app": {**SLOT, "health": health}},
        environment=podman.environment,
    )
    return fleet


def containers(podman: Podman, *options: str) -> list[str]:
    """Return the agent's containers, those that run unless the options say more."""
    chosen = ("--filter=label=device-agent.slot=app", "--format={{.Names}}")
    return podman.run("ps", *chosen, *options).split()


def running(podman: Podman) -> list[str]:
    """Return what the agent's running containers are, by their own word."""
    names = containers(podman)
    return [podman.run("exec", name, "/bin/busybox", "cat", "/version") for name in names]


async def test_a_container_is_replaced_and_one_that_is_not_well_is_taken_back(
    owned: SignedFleet, podman: Podman
) -> None:
    """What ran before runs again; the next one that is well takes its place: an index, zstd."""
    device = owned.device
    owned.release(app("1"), "app")
    first = await device.update()
    assert (first.status, running(podman)) == (0, ["1"]), first
    assert (await device.run("verify")).status == 0

    owned.release(app("2", is_well=False), "app")
    second = await device.update()
    assert (second.status, running(podman)) == (1, ["1"]), second
    assert "health check failed" in str(device.journal.problem)
    assert device.journal.phase is Phase.IDLE

    owned.release(an_index_of(app("3")), "app")
    third = await device.update()
    assert (third.status, running(podman)) == (0, ["3"]), third
    files = (podman.folder / "storage" / "overlay").glob("*/diff/version")
    (unpacked,) = (each for each in files if each.read_text() == "3")  # beside other tests' layers
    unpacked.write_text("4")
    assert "not what was applied" in (await device.run("verify")).output
    unpacked.write_text("3")
    assert (await device.run("verify")).status == 0
    (name,) = containers(podman, "--all")
    podman.run("rm", "--force", "--time=0", name)
    assert "not running" in (await device.run("verify")).output
    assert (await device.update()).status == 0  # as after a start of the machine
    assert running(podman) == ["3"]


async def test_the_first_container_that_is_not_well_leaves_nothing(
    owned: SignedFleet, podman: Podman
) -> None:
    """There is nothing to go back to."""
    owned.release(app("1", is_well=False), "app")
    assert (await owned.device.update()).status == 1
    assert running(podman) == []
    assert owned.device.journal.applied is None


async def test_an_image_of_another_machine_or_another_config_is_refused(
    owned: SignedFleet, podman: Podman
) -> None:
    """Signed, whole, and wrong: it is said before podman sees it."""
    owned.release(app("1"), "app")
    assert (await owned.device.update()).status == 0
    owned.release(app("2", architecture="riscv64"), "app")
    assert (await owned.device.update()).status == 1
    assert "riscv64" in str(owned.device.journal.problem)
    owned.release(with_layer(app("3"), app("4").layers[0]), "app")
    assert (await owned.device.update()).status == 1
    assert "not what the image's config says" in str(owned.device.journal.problem)
    assert running(podman) == ["1"]
