"""Programs that a release is made with, and what each of them is told."""

import os
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from attrs import frozen

from deploy.dev.debian import REPOSITORY


class ReleaseError(Exception):
    """Something of the release could not be made; the message bears what the program said."""


def run(
    *command: str | Path,
    cwd: Path = REPOSITORY,
    given: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Run a program; its standard output. `environment` is beside what we see ourselves."""
    answer = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
        input=b"" if given is None else given,
        capture_output=True,
        check=False,
    )
    if answer.returncode != 0:
        said = (answer.stderr + answer.stdout).decode(errors="replace")
        raise ReleaseError(f"{' '.join(map(str, command))}: exit {answer.returncode}\n{said}")
    return answer.stdout


@frozen
class Origin:
    """What a release is made of."""

    version: str
    revision: str  # the commit, and whether there was more than it
    at: int  # when it was made: the time of every file of the release, in seconds of Unix

    @classmethod
    def of_this_checkout(cls) -> Self:
        """Ask the checkout."""
        project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
        described = run("git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude", "*")
        made = run("git", "log", "-1", "--format=%ct")
        return cls(project["version"], described.decode().strip(), int(made))
