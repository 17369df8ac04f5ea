"""control_plane -> shared <- facade, and only `environment` modules read the environment."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
RULES = REPOSITORY / "pyproject.toml"
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


@pytest.mark.parametrize(
    "importer, imported",
    [
        ("control_plane", "facade"),
        ("facade", "control_plane"),
        ("shared", "control_plane"),
        ("shared", "facade"),
        ("control_plane", "deploy"),
        ("facade", "tests"),
        ("shared", "deploy"),
    ],
)
def test_an_import_across_the_border_is_found(tmp_path: Path, importer: str, imported: str) -> None:
    """A rule that never fails would prove nothing."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / importer / "room.py").write_text(f"import {imported}\n")
    verdict = lint_imports(tmp_path)
    assert verdict.returncode == 1
    assert f"{importer}.room -> {imported}" in verdict.stdout


@pytest.mark.parametrize("expression", ["os.environ", "os.getenv('HOME')", "os.environb"])
def test_only_environment_modules_read_the_environment(tmp_path: Path, expression: str) -> None:
    """Whatever a process is told from outside is read and checked in one place."""
    (tmp_path / "facade").mkdir()
    (tmp_path / "facade" / "config.py").write_text(f"import os\n\nVALUE = {expression}\n")
    assert "TID251" in ruff(tmp_path).stdout
    (tmp_path / "facade" / "config.py").rename(tmp_path / "facade" / "environment.py")
    assert ruff(tmp_path).returncode == 0
