"""Files and standard input that a command is given and cannot read: one line says which, and why.

The memory of a process, read from its beginning, fails as a broken disk does (EIO).
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.keys import private_pem
from tests.support.commands import run_command

BROKEN: Final = Path("/proc/self/mem")
EIO: Final = "input/output error"
ADD: Final = ("connections", "add", "ghcr.io")
NOBODY: Final = {"CONTROL_PLANE_URL": "http://127.0.0.1:9", "CONTROL_PLANE_TOKEN": "of-nobody"}


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """Return those of whoever may verify an export, and of a control plane that nobody runs."""
    key = tmp_path / "statement.private.pem"
    key.write_bytes(private_pem(Ed25519PrivateKey.generate()))
    return NOBODY | {"CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(key)}


@pytest.mark.parametrize(
    "arguments",
    [
        ("devices", "revoke", "--from"),
        ("audit", "verify"),
        (*ADD, "--anonymous", "--ca-certificate"),
        (*ADD, "--service-account-key-file"),
    ],
)
def test_a_file_that_fails_while_it_is_read(
    settings: dict[str, str], arguments: tuple[str, ...]
) -> None:
    """Its opening succeeds."""
    failed = run_command(settings, *arguments, str(BROKEN))
    assert (failed.status, failed.output) == (2, "")
    assert f"{BROKEN} cannot be read: {EIO}" in failed.words


@pytest.mark.parametrize(
    "arguments",
    [
        ("devices", "revoke", "--from", "-"),
        ("audit", "verify", "-"),
        (*ADD, "--username", "robot", "--token-stdin"),
        (*ADD, "--service-account-key-file", "-"),
        ("apply", "--file", "-"),
    ],
)
def test_standard_input_that_fails(settings: dict[str, str], arguments: tuple[str, ...]) -> None:
    """As a file does."""
    with BROKEN.open("rb") as given:
        assert f"standard input cannot be read: {EIO}" in refused(settings, given, *arguments)


def test_standard_input_that_does_not_wait(settings: dict[str, str]) -> None:
    """Whoever started the command made it so (O_NONBLOCK), and nothing has come yet."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    try:
        words = refused(settings, reading, "devices", "revoke", "--from", "-")
    finally:
        os.close(reading)
        os.close(writing)
    assert "standard input cannot be read: nothing has come yet" in words


def refused(settings: dict[str, str], given: IO[bytes] | int, *arguments: str) -> str:
    """Return what a command says that ends with 2."""
    ran = subprocess.run(
        [sys.executable, "-m", "control_plane", *arguments],
        stdin=given,
        capture_output=True,
        check=False,
        text=True,
        env={"PATH": os.environ["PATH"], **settings},
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Traceback" not in ran.stderr
    return ran.stderr


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_that_names_nobody_revokes_nothing(tmp_path: Path, content: bytes) -> None:
    """A script whose list was lost is told: it thinks that devices are revoked."""
    file = tmp_path / "devices.txt"
    file.write_bytes(content)
    said = run_command(NOBODY, "devices", "revoke", "--yes", "--from", str(file))
    assert (said.status, said.output) == (2, "")
    assert f"{file} names no device, so nothing is revoked" in said.words
