"""Who may import whom, and that only `environment` modules read the environment."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RULES = REPOSITORY / "pyproject.toml"
DEVICES = {"agent": "device_agent", "repository": "device_repository"}
PACKAGES = ("control_plane", "deploy", "facade", "shared", "tests")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Judge the packages of `folder` by the repository's contracts."""
    program = Path(sys.executable).with_name("lint-imports")
    command = [str(program), "--config", str(RULES), "--no-cache"]
    environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def ruff(folder: Path) -> subprocess.CompletedProcess[str]:
    """Judge `folder` by the repository's lint rule on reading the environment."""
    program = Path(sys.executable).with_name("ruff")
    command = [str(program), "check", "--no-cache", "--select=TID251", "--config", str(RULES), "."]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_this_repository_holds_the_rule() -> None:
    """The two processes stay divided by what each may know."""
    verdict = lint_imports(REPOSITORY)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


def empty_house(folder: Path) -> None:
    """Make every package of the repository, its rooms and its modules, with nothing in them."""
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*.py"):
            _touch(folder / path.relative_to(REPOSITORY))
    for place, package in DEVICES.items():
        house = REPOSITORY / "deploy" / "devices" / place
        for path in (house / package).rglob("*.py"):
            _touch(folder / path.relative_to(house))


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


FORBIDDEN = {
    "control_plane.reading": "facade",
    "facade.values": "control_plane",
    "shared.postgres": "control_plane",
    "shared.upstream": "facade",
    "control_plane.serving": "deploy",
    "facade.serving": "tests",
    "shared.upstream.credentials": "deploy",
    # Upwards, and between two rooms of one floor.
    "facade.loop": "facade.metrics",
    "facade.registries": "facade.arrivals",
    "facade.content": "facade.pulls",
    "facade.store": "facade.registries",
    "facade.devices": "facade.approvals",
    "control_plane.proof": "control_plane.connections",
    "control_plane.connections": "control_plane.device_revocations",
    "control_plane.http": "control_plane.serving",
    # What runs on a device stands by itself.
    "facade.answers": "device_agent",
    "device_agent.slots": "shared",
    "device_repository": "tests",
}


def test_every_import_that_may_not_be_is_found(tmp_path: Path) -> None:
    """A rule that never fails would prove nothing."""
    empty_house(tmp_path)
    for importer, imported in FORBIDDEN.items():
        room = tmp_path / importer.replace(".", "/") / "room.py"
        room.write_text(f"import {imported}\n")
    verdict = lint_imports(tmp_path)
    assert verdict.returncode == 1
    planted = [f"{importer}.room -> {imported}" for importer, imported in FORBIDDEN.items()]
    assert [each for each in planted if each not in verdict.stdout] == []


def test_a_room_that_has_no_floor_is_found(tmp_path: Path) -> None:
    """Whoever makes a room says what it may use, and who may use it."""
    empty_house(tmp_path)
    for package in ("facade", "control_plane"):
        (tmp_path / package / "annexe").mkdir()
        (tmp_path / package / "annexe" / "__init__.py").touch()
    verdict = lint_imports(tmp_path)
    assert verdict.returncode == 1
    assert "- facade.annexe" in verdict.stdout
    assert "- control_plane.annexe" in verdict.stdout


CYCLES = {
    "shared.pace": "shared.upstream.tags",
    "shared.upstream.tags": "shared.pace",
    "shared.upstream.status": "shared.postgres.link",
    "shared.postgres.link": "shared.upstream.status",
    "facade.registries.circuit": "facade.registries.aws.ecr",
    "facade.registries.aws.ecr": "facade.registries.circuit",
    "control_plane.proof.signer": "control_plane.proof.sealer",
    "control_plane.proof.sealer": "control_plane.proof.signer",
}


def test_every_import_cycle_is_found(tmp_path: Path) -> None:
    """Of folders without floors too, and of files within one room."""
    empty_house(tmp_path)
    for importer, imported in CYCLES.items():
        (tmp_path / importer.replace(".", "/")).with_suffix(".py").write_text(
            f"import {imported}\n"
        )
    verdict = lint_imports(tmp_path)
    assert verdict.returncode == 1
    for folder in ("shared", "facade.registries", "control_plane.proof"):
        assert f"No cycles are allowed in {folder}." in verdict.stdout


@pytest.mark.parametrize("expression", ["os.environ", "os.getenv('HOME')", "os.environb"])
def test_only_environment_modules_read_the_environment(tmp_path: Path, expression: str) -> None:
    """Whatever a process is told from outside is read and checked in one place."""
    (tmp_path / "facade").mkdir()
    (tmp_path / "facade" / "config.py").write_text(f"import os\n\nVALUE = {expression}\n")
    assert "TID251" in ruff(tmp_path).stdout
    (tmp_path / "facade" / "config.py").rename(tmp_path / "facade" / "environment.py")
    assert ruff(tmp_path).returncode == 0
