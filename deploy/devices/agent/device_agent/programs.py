"""Programs that the agent runs: podman, and the owner's own commands. Each has an end."""

import subprocess
from collections.abc import Sequence
from typing import Final

from device_agent.errors import ApplyError, in_one_line

PODMAN_SECONDS: Final = 1800.0  # unpacking gigabytes onto slow flash


def run(command: Sequence[str], seconds: float) -> str:
    """Return a program's output; ApplyError unless it ends with 0 in time. It is killed then."""
    answer = ask(command, seconds)
    if answer.returncode != 0:
        said = in_one_line(answer.stderr or answer.stdout)
        raise ApplyError(f"{' '.join(command[:3])}: exit {answer.returncode}: {said}")
    return answer.stdout.strip()


def ask(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever that is; ApplyError if there is none in time."""
    try:
        return subprocess.run(  # noqa: S603 the owner's commands, as a list
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise ApplyError(f"{command[0]}: not done in {seconds:g} s") from error
    except OSError as error:
        raise ApplyError(f"{command[0]}: {error.strerror}") from error
