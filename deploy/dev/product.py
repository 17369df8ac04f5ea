"""The product's own two programs, started from this virtual environment as a deployer would."""

import subprocess
import sys
import urllib.error
from collections.abc import Mapping
from pathlib import Path

from deploy.dev.loopback import ask
from deploy.dev.processes import Child

PROGRAMS = Path(sys.executable).parent
COMMAND_SECONDS = 60


class CommandFailedError(Exception):
    """A command of the product ended with an error; the message bears what it said to people."""


def run_control_plane(*arguments: str, environment: Mapping[str, str], given: str = "") -> str:
    """`control-plane ARGUMENTS`; its standard output. `given` is its standard input."""
    answer = subprocess.run(
        [str(PROGRAMS / "control-plane"), *arguments],
        env=whole_environment(environment),
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS,
    )
    if answer.returncode != 0:
        raise CommandFailedError(
            f"control-plane {' '.join(arguments)}: exit {answer.returncode}\n{answer.stderr}"
        )
    return answer.stdout


def serve_control_plane(environment: Mapping[str, str], log: Path) -> Child:
    """`control-plane serve`, once it is ready. It listens on plain HTTP on loopback."""
    command = [str(PROGRAMS / "control-plane"), "serve"]
    child = Child.start(command, log=log, environment=whole_environment(environment))
    child.wait_until(lambda: is_ready(environment["CONTROL_PLANE_LISTEN"]))
    return child


def serve_facade(environment: Mapping[str, str], log: Path) -> Child:
    """`facade serve`, once it is ready."""
    command = [str(PROGRAMS / "facade"), "serve"]
    child = Child.start(command, log=log, environment=whole_environment(environment))
    child.wait_until(lambda: is_ready(environment["FACADE_OPERATIONS_LISTEN"]))
    return child


def is_ready(address: str) -> bool:
    """Whether `/readyz` at this host and port answers 200."""
    try:
        with ask(f"http://{address}/readyz") as answer:
            return answer.status == 200  # noqa: PLR2004 HTTP's OK
    except urllib.error.HTTPError as not_ready:
        not_ready.close()
        return False
    except OSError:
        return False


def whole_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings and a PATH. Nothing else: what a developer has set must change nothing."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **settings}
