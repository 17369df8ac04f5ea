"""The images: small, without tools, and nothing in them that the platform has to trust."""

import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.dev.debian import REPOSITORY
from deploy.dev.podman import Podman
from deploy.release.bill_of_materials import normalized
from deploy.release.images import IMAGES
from deploy.release.tools import Origin
from tests.deploy.release_files import Release

MAX_BYTES = 200_000_000
FOLDERS = ("var/lib/registry-backends", "var/cache/registry-backends")
USER = 65532
# A read-only root, no right of root's, no way to get one, and nothing to write to.
RESTRICTED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
)
# Programs by which one goes on from a foothold, wherever they lie.
TOOLS = frozenset(
    {"apt", "ash", "bash", "busybox", "cc", "curl", "dash", "dpkg", "gcc", "ld", "mount", "sh"}
    | {"openssl", "perl", "pip", "su", "uv", "wget"}
)


@pytest.fixture(scope="module", params=IMAGES)
def name(request: pytest.FixtureRequest) -> str:
    """Each of them in turn."""
    return str(request.param)


@pytest.fixture(scope="module")
def image(name: str, images: Mapping[str, str]) -> str:
    """What it is called."""
    return images[name]


@pytest.fixture(scope="module")
def inspected(podman: Podman, image: str) -> dict[str, Any]:
    """All that its configuration says."""
    (found,) = orjson.loads(podman.run("image", "inspect", image))
    return dict(found)


@pytest.fixture(scope="module")
def files(
    podman: Podman, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tarfile.TarFile]:
    """Its whole file system."""
    archive = tmp_path_factory.mktemp("files") / "files.tar"
    container = podman.run("create", image)
    podman.run("export", "--output", archive, container)
    podman.run("rm", container)
    with tarfile.open(archive) as opened:
        yield opened
    archive.unlink()


def test_it_is_small(inspected: dict[str, Any]) -> None:
    """Unpacked, with its base."""
    assert inspected["Size"] < MAX_BYTES


def test_it_says_what_it_is_and_where_it_comes_from(name: str, inspected: dict[str, Any]) -> None:
    """Version, commit, licence: what a platform asks of a label."""
    labels = {
        key.removeprefix("org.opencontainers.image."): value
        for key, value in inspected["Labels"].items()
        if key.startswith("org.opencontainers.image.")
    }
    origin = Origin.of_this_checkout()
    assert labels["title"] == name
    assert labels["version"] == origin.version
    assert labels["revision"].removesuffix("-dirty") == origin.revision.removesuffix("-dirty")
    assert labels["licenses"] == "Apache-2.0"


def test_its_configuration_holds_nothing_else(name: str, inspected: dict[str, Any]) -> None:
    """An unprivileged user, one program, no volume, and no variable that could be a secret."""
    config = inspected["Config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == [f"/usr/lib/registry-backends/bin/{name}"]
    assert config["Cmd"] == ["serve"]
    assert "Volumes" not in config
    assert {line.partition("=")[0] for line in config["Env"]} == {
        "PATH",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONUNBUFFERED",
    }
    said = orjson.dumps([config, inspected["History"]]).decode()
    assert str(REPOSITORY) not in said


def test_it_holds_no_shell_no_compiler_and_no_package_manager(files: tarfile.TarFile) -> None:
    """Who gets in finds Python, and nothing beside."""
    names = [member.name for member in files.getmembers() if not member.isdir()]
    assert [name for name in names if Path(name).name in TOOLS] == []
    programs = {name for name in names if re.match(r"(usr/)?s?bin/", name)}
    assert programs == {"usr/bin/python3.11"}


def test_nothing_in_it_gives_rights_or_may_be_written(files: tarfile.TarFile) -> None:
    """No file is setuid; only the folders of state, of the cache and /tmp are not root's alone."""
    members = files.getmembers()
    assert [each.name for each in members if each.isfile() and each.mode & 0o6000] == []
    assert [each.name for each in members if not each.issym() and each.uid not in (0, USER)] == []
    ours = {each.name for each in members if each.uid == USER}
    assert all(name.startswith(FOLDERS) for name in ours)
    writable = {each.name for each in members if each.mode & 0o002 and not each.issym()}
    assert {name for name in writable if not name.startswith("dev/")} <= {"tmp"}


def test_it_tells_nothing_of_the_machine_that_made_it(files: tarfile.TarFile) -> None:
    """No folder of the checkout stands in a file of the product, nor a key of anybody."""
    checkout, key = str(REPOSITORY).encode(), b"-----BEGIN PRIVATE KEY-----\nM"
    found = []
    for member in files.getmembers():
        if not member.isfile() or "/registry-backends/" not in member.name:
            continue
        opened = files.extractfile(member)
        assert opened is not None
        body = opened.read()
        if checkout in body or key in body:
            found.append(member.name)
    assert found == []


def test_it_holds_every_file_of_the_wheel(release: Release, files: tarfile.TarFile) -> None:
    """What a program reads beside its modules, too: SQL, openapi.json, what a page is made of."""
    present = {name.partition("/site-packages/")[2] for name in files.getnames()}
    with zipfile.ZipFile(release.wheel) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert "control_plane/openapi.json" in packed
    assert packed - present == set()


def test_its_libraries_hold_nothing_for_a_debugger(files: tarfile.TarFile) -> None:
    """As Debian's own: it was more than half of their bytes."""
    libraries = [each for each in files.getmembers() if each.name.endswith(".so")]
    found = []
    for each in libraries:
        opened = files.extractfile(each) if each.isfile() else None
        if opened is not None and b"\0.debug_info\0" in opened.read():
            found.append(each.name)
    assert libraries
    assert found == []


def test_its_list_of_what_is_in_it_is_whole(
    name: str, release: Release, files: tarfile.TarFile
) -> None:
    """Every Python distribution and every Debian package, in a document that CycloneDX takes."""
    text = release.bill_of_materials_text(name)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = release.bill_of_materials(name)
    listed, installed, packages = set(), set(), set()
    for component in document["components"]:
        is_debian = component.get("purl", "").startswith("pkg:deb/")
        listed.add(component["name"] if is_debian else normalized(component["name"]))
    for path in map(Path, files.getnames()):
        if path.parent.name == "site-packages" and path.suffix == ".dist-info":
            installed.add(normalized(path.stem.rpartition("-")[0]))
        if path.parent.name == "status.d":
            packages.add(path.name)
    assert {"aiohttp", "registry-facade"} <= installed
    assert {"libc6", "libssl3", "python3.11-minimal"} <= packages
    assert listed == installed | packages


@pytest.mark.parametrize("command", [["--version"], ["settings"]])
def test_it_runs_with_no_right_and_nothing_to_write(
    podman: Podman, image: str, command: list[str]
) -> None:
    """As the user of the image, on a root that nobody may write."""
    said = podman.run("run", "--rm", "--network=none", *RESTRICTED, image, *command)
    assert said


def test_a_start_without_settings_names_them(podman: Podman, images: Mapping[str, str]) -> None:
    """The first thing that somebody sees who tries an image: exit 2, and no traceback."""
    for image in images.values():
        answer = podman.ask("run", "--rm", "--network=none", *RESTRICTED, image)
        assert answer.returncode == 2
        assert b"_DATABASE_URL: required" in answer.stderr
        assert b"Traceback" not in answer.stderr


def test_every_file_of_the_release_is_the_one_that_it_names(release: Release) -> None:
    """Whoever takes it elsewhere can tell that it arrived."""
    assert release.sums() == release.digests()
