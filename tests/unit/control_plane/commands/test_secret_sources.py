"""Secrets that files refer to: read within bounds, and never in an error."""

import sys
from pathlib import Path

import pytest

from control_plane.commands.secret_sources import (
    MAX_SECRET_SOURCE_BYTES,
    SecretSources,
    UnreadableSecretError,
)
from control_plane.declared.secret_reference import (
    CommandSource,
    FileSource,
    SecretReference,
    SecretSource,
)

CANARY = "canary-of-a-source"
SOURCES = SecretSources(allow_commands=True, command_seconds=20.0)


def python(code: str) -> CommandSource:
    """Return a command that runs Python."""
    return CommandSource((sys.executable, "-c", code))


async def token(source: SecretSource, folder: Path, sources: SecretSources = SOURCES) -> object:
    """Return what is read."""
    return (await sources.fields(SecretReference(source, "1"), folder, "static"))["token"]


async def why_not(source: SecretSource, folder: Path, sources: SecretSources = SOURCES) -> str:
    """Return why nothing is read."""
    with pytest.raises(UnreadableSecretError) as refused:
        await token(source, folder, sources)
    assert CANARY not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
async def test_a_line_break_at_the_end_is_no_part_of_a_token(tmp_path: Path, ending: str) -> None:
    """Editors and programs write one."""
    (tmp_path / "token").write_text(f"{CANARY}{ending}", newline="")
    assert await token(FileSource("token"), tmp_path) == CANARY
    assert await token(python(f"print({CANARY!r}, end={ending!r})"), tmp_path) == CANARY


async def test_a_command_runs_in_the_folder_of_its_file_without_our_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator's token is for the control plane alone."""
    monkeypatch.setenv("CONTROL_PLANE_TOKEN", CANARY)
    monkeypatch.setenv("VAULT_ADDR", "https://vault.example")
    code = (
        "import os; print(os.environ.get('CONTROL_PLANE_TOKEN'), os.environ['VAULT_ADDR'],"
        " os.getcwd())"
    )
    assert await token(python(code), tmp_path) == f"None https://vault.example {tmp_path}"


async def test_a_command_that_fails_is_not_quoted(tmp_path: Path) -> None:
    """Neither what it printed, nor what it said of itself."""
    code = f"import sys; print({CANARY!r}); print({CANARY!r}, file=sys.stderr); sys.exit(7)"
    assert "failed (exit status 7)" in await why_not(python(code), tmp_path)
    assert "printed nothing" in await why_not(python(""), tmp_path)
    assert "no such file" in await why_not(CommandSource(("/no/such/program",)), tmp_path)
    assert "--allow-commands" in await why_not(
        python(""), tmp_path, SecretSources(allow_commands=False)
    )


async def test_a_command_has_a_bound_of_time_and_bytes(tmp_path: Path) -> None:
    """And what it started ends with it."""
    flood = "while True: print('x' * 1000)"
    assert "printed more than" in await why_not(python(flood), tmp_path)
    hurried = SecretSources(allow_commands=True, command_seconds=0.2)
    sleeper = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time;"
    sleeper += " time.sleep(600)'])"
    assert "took longer than 0.2 seconds" in await why_not(python(sleeper), tmp_path, hurried)


async def test_a_file_has_a_bound_of_bytes(tmp_path: Path) -> None:
    """And a text in it."""
    (tmp_path / "long").write_bytes(b"x" * (MAX_SECRET_SOURCE_BYTES + 1))
    (tmp_path / "binary").write_bytes(b"\xff")
    assert "longer than" in await why_not(FileSource("long"), tmp_path)
    assert "no UTF-8 text" in await why_not(FileSource("binary"), tmp_path)
    with pytest.raises(UnreadableSecretError, match="holds no JSON object"):
        await SOURCES.fields(
            SecretReference(FileSource("binary"), "1"), tmp_path, "google_service_account"
        )
