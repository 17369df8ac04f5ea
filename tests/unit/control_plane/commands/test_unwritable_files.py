"""Files and folders that a command cannot read or write: told in words, and nothing half done."""

import os
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shared.keys import public_pem
from tests.support.commands import run_command

# The public half of the first pair has so many bytes, and the private one that follows has more.
FIRST_FILE_BYTES = len(public_pem(X25519PrivateKey.generate().public_key()))
LIMITED = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, ({FIRST_FILE_BYTES}, {FIRST_FILE_BYTES}))
os.execv(sys.executable, [sys.executable, "-m", "control_plane", *sys.argv[1:]])
"""


def test_keys_that_find_no_room_leave_nothing(tmp_path: Path) -> None:
    """So that the same call makes all of them once there is room, and no key is half a key."""
    arguments = ("keys", "--out", str(tmp_path / "keys"))
    surroundings = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    # Python would cache what it imports in files of so many bytes, for every later process.
    surroundings["PYTHONDONTWRITEBYTECODE"] = "1"
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments],
        capture_output=True,
        check=False,
        text=True,
        env=surroundings,
    )
    private = tmp_path / "keys" / "sealing.private.pem"
    said = f"{private} cannot be written, and nothing was: File too large\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", said)
    assert [*(tmp_path / "keys").iterdir()] == []
    assert run_command({}, *arguments).status == 0


def test_a_link_that_leads_nowhere_is_in_the_way(tmp_path: Path) -> None:
    """A key is not written to where somebody else's link leads."""
    (tmp_path / "sealing.private.pem").symlink_to(tmp_path / "elsewhere")
    refused = run_command({}, "keys", "--out", str(tmp_path))
    assert (refused.status, "there is already: sealing.private.pem" in refused.words) == (1, True)
    assert [each.name for each in tmp_path.iterdir()] == ["sealing.private.pem"]


def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    """As whoever gives the content of a file in place of its path has it."""
    path = str(tmp_path / ("a" * 300))
    refused = run_command({}, "apply", "--file", path)
    assert (refused.status, f"{path}: the path is too long" in refused.words) == (2, True)
