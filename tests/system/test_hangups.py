"""SIGHUP ends neither process while it starts: whoever replaces a file sends it at any moment.

A service manager that listens is told of everything that follows.
"""

import errno
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
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
    manager = listening_manager(tmp_path / "notify")
    settings = environment(tmp_path) | {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "3000000",
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
        told: list[str] = []
        await eventually(lambda: has_told(manager, told, "STATUS=not ready"))
        assert told.count("READY=1") == 1  # what came too early to be heard needs no answer
        assert "WATCHDOG=1" in told
        child.process.send_signal(signal.SIGHUP)
        await eventually(lambda: has_told(manager, told, "RELOADING=1\nMONOTONIC_USEC="))
        await eventually(lambda: has_told(manager, told, "") and told.count("READY=1") > 1)
        assert is_alive(port)
        assert child.stop() == 0
        assert has_told(manager, told, "STOPPING=1")
    finally:
        manager.close()
        child.kill()


def listening_manager(address: Path) -> socket.socket:
    """Return the socket of a service manager."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(address))
    made.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return made


def has_told(manager: socket.socket, told: list[str], words: str) -> bool:
    """Take what has come; tell whether anything so far begins like this."""
    with suppress(BlockingIOError):
        while True:
            told.append(manager.recv(65536).decode())
    return any(each.startswith(words) for each in told)


def is_alive(port: int) -> bool:
    """Tell whether `/healthz` answers."""
    try:
        with ask(f"http://127.0.0.1:{port}/healthz") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
