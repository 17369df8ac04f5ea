"""What is delivered, on real parts: `make check-deploy` runs the fast part, `make test-deploy` all.

Both make the release first, into the folder that RELEASE names; `make test` runs and collects
nothing here. The tests have a network of their own, loopback alone: containers that are to meet
what a test starts run with `--network=host`, and reach nothing else.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploy.dev import debian
from deploy.dev.image import make_image
from deploy.dev.oci_archive import oci_archive
from deploy.dev.podman import FOLDER, Podman
from deploy.release.images import IMAGES, reference_of
from tests.bench import own_network
from tests.deploy.release_files import Release
from tests.support.suite import Suite

DEPLOY = Suite("deploy", marker="long")
CHOSEN = "DEPLOY" in os.environ  # set by both targets
LONG = "long: takes longer than `make check-deploy` may; `make test-deploy` runs it"

BUSYBOX = "localhost/busybox"
COMMANDS = ("cat", "chown", "id", "ip", "ls", "mkdir", "sh", "sleep", "stat", "wget")  # of busybox


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker, and leave the machine's network before anything else is begun."""
    config.addinivalue_line("markers", LONG)
    if CHOSEN and (problem := own_network.enter().problem) is not None:
        raise pytest.UsageError(f"these tests need a network of their own, as root: {problem}")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the folder unless one of its targets runs."""
    return None if CHOSEN or collection_path.name == "conftest.py" else True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is long."""
    DEPLOY.leave_out(config, items)


@pytest.fixture(scope="session")
def podman(worker_id: str) -> Iterator[Podman]:
    """Containers; what was left running by a run that was killed is removed, before and after.

    Each process of pytest has its own: what one removes is not what another runs. The first one's
    has the layers of the images, because they were built there.
    """
    is_first = worker_id in {"master", "gw0"}
    folder = FOLDER if is_first else FOLDER.with_name(f"{FOLDER.name}-{worker_id}")
    podman = Podman.of_this_checkout(folder)
    podman.run("rm", "--all", "--force", "--time=0", "--volumes")
    yield podman
    podman.run("rm", "--all", "--force", "--time=0", "--volumes")


@pytest.fixture(scope="session")
def busybox(podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small image with a shell, loaded: what stands beside ours, and looks into volumes."""
    program = debian.program("busybox", "busybox-static").read_bytes()
    links = {f"bin/{command}": "busybox" for command in COMMANDS}
    image = make_image({"bin/busybox": program}, links=links, command=["sh"])
    archive = oci_archive(image, BUSYBOX, tmp_path_factory.mktemp("busybox"))
    podman.run("load", "--input", archive)
    return BUSYBOX


@pytest.fixture(scope="session")
def release() -> Release:
    """The files of the release."""
    return Release(Path(os.environ["RELEASE"]).resolve())


@pytest.fixture(scope="session")
def images(podman: Podman, release: Release) -> Mapping[str, str]:
    """Both images, loaded from the release's archive, by the name of the process."""
    podman.run("load", "--input", release.images)
    return {name: reference_of(name, release.version) for name in IMAGES}
