"""A command whose output has no room says so in one line, whether or not Python buffers it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.lost_output import telling_lost_output


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words",
    [
        ("control_plane", "settings"),
        ("control_plane", "schema"),
        ("control_plane", "--help"),
        ("facade", "settings"),
        ("facade", "--version"),
    ],
)
def test_a_full_disk_is_told_in_one_line(words: tuple[str, ...], unbuffered: str) -> None:
    """Nobody is shown a traceback because a disk is full, and nobody takes it for done."""
    surroundings = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            text=True,
            env=surroundings | {"PYTHONUNBUFFERED": unbuffered},
        )
    said = "the output cannot be written: no space left on device\n"
    assert (ran.returncode, ran.stderr) == (1, said)


@pytest.mark.parametrize(
    "failure", [FileNotFoundError(2, "none", "a.txt"), OSError(28, "full", "a.txt"), OSError(5, "")]
)
def test_any_other_failure_goes_on(failure: OSError) -> None:
    """Only what has no name and no room is output."""
    with pytest.raises(OSError) as raised, telling_lost_output():  # noqa: PT011 - compared below
        raise failure
    assert raised.value is failure


def test_a_full_disk_of_serve_is_no_lost_output() -> None:
    """What failed is a file of its own: the log has the exception, and not words on an output."""
    program = (
        "import sys; sys.argv[1:] = ['serve']\n"
        "from shared.lost_output import telling_lost_output\n"
        "with telling_lost_output():\n    raise OSError(28, 'full')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, text=True
    )
    assert ran.returncode == 1
    assert "the output cannot be written" not in ran.stderr
    assert "OSError: [Errno 28] full" in ran.stderr
