"""A command whose standard input is closed (`<&-`, as a supervisor may start one) has no terminal.

Python has no `sys.stdin` then.
"""

import os
import subprocess
import sys
from typing import Final

import pytest

CLOSED: Final = ("sh", "-c", 'exec "$@" <&-', "sh")
PROGRAM: Final = (sys.executable, "-m", "control_plane")
NOBODY: Final = {"CONTROL_PLANE_URL": "http://127.0.0.1:9", "CONTROL_PLANE_TOKEN": "of-nobody"}
REFUSED: Final = "connection refused"


@pytest.mark.parametrize(
    "words, said",
    [
        (("devices", "revoke", "a"), REFUSED),
        (("sessions", "end", "--all"), REFUSED),
        (("operators", "remove", "alice"), "CONTROL_PLANE_DATABASE_URL"),
        (("connections", "discard", "ghcr.io"), REFUSED),
        (("connections", "revoke", "ghcr.io"), REFUSED),
        (("connections", "approve", "ghcr.io"), "Without a terminal nobody is asked"),
        (("connections", "send-back", "ghcr.io"), "Without a terminal nobody is asked"),
        (("connections", "add", "ghcr.io", "--token-stdin", "--username", "a"), REFUSED),
        (("apply", "--prune", "--file", "-"), "--yes"),
    ],
)
def test_nobody_is_asked_and_nothing_is_read(words: tuple[str, ...], said: str) -> None:
    """It goes on as without a terminal, to its usual end."""
    surroundings = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ran = subprocess.run(
        [*CLOSED, *PROGRAM, *words],
        capture_output=True,
        check=False,
        text=True,
        env=surroundings | NOBODY,
    )
    assert ran.returncode in {1, 2}
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
