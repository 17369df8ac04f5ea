"""SIGHUP ends neither process while it starts: whoever replaces a file sends it at any moment."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.dev.loopback import ask
from deploy.dev.processes import Child, free_port
from deploy.dev.product import PROGRAMS
from tests.support.control_plane import make_keys
from tests.support.eventually import eventually
from tests.support.facade_environment import good_environment
from tests.support.surroundings import of_a_child

URL = "postgresql://nobody@127.0.0.1:1/none"


def facade_environment(folder: Path) -> dict[str, str]:
    """Return what a facade needs."""
    return good_environment(folder)


def control_plane_environment(folder: Path) -> dict[str, str]:
    """Return what a control plane needs."""
    keys = make_keys(folder / "keys")
    return {
        "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE": str(keys.sealing_public),
        "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(keys.statement_private),
    }


@pytest.mark.parametrize(
    "command, prefix, listen, environment",
    [
        (["-m", "facade"], "FACADE", "FACADE_OPERATIONS_LISTEN", facade_environment),
        (
            [str(PROGRAMS / "control-plane")],
            "CONTROL_PLANE",
            "CONTROL_PLANE_LISTEN",
            control_plane_environment,
        ),
    ],
    ids=["facade", "control plane"],
)
async def test_a_hangup_before_the_loop_runs_ends_nothing(
    command: list[str],
    prefix: str,
    listen: str,
    environment: Callable[[Path], dict[str, str]],
    tmp_path: Path,
) -> None:
    """The settings are being read: one of them comes through a pipe, as from a shell's `<(...)`."""
    port, pipe = free_port(), tmp_path / "pipe"
    os.mkfifo(pipe)
    settings = environment(tmp_path) | {
        f"{prefix}_DATABASE_URL_FILE": str(pipe),
        listen: f"127.0.0.1:{port}",
    }
    settings.pop(f"{prefix}_DATABASE_URL", None)
    if prefix == "FACADE":
        settings["FACADE_LISTEN"] = f"127.0.0.1:{free_port()}"
    child = Child.start(
        [sys.executable, *command, "serve"],
        log=tmp_path / "log",
        environment=of_a_child(settings),
    )
    try:
        writer = -1

        def is_read() -> bool:
            nonlocal writer
            try:
                writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return False
            return True

        await eventually(is_read)
        child.process.send_signal(signal.SIGHUP)
        os.write(writer, URL.encode())
        os.close(writer)
        await eventually(lambda: not child.running or is_alive(port))
        assert child.running, child.log_tail
        child.process.send_signal(signal.SIGHUP)
        assert is_alive(port)
        assert child.stop() == 0
    finally:
        child.kill()


def is_alive(port: int) -> bool:
    """Tell whether `/healthz` answers."""
    try:
        with ask(f"http://127.0.0.1:{port}/healthz") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
