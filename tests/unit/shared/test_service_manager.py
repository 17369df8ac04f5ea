"""What systemd is told, by the datagrams that come out of a real socket."""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.environment import Supervision, take_supervision
from shared.service_manager import ServiceManager
from shared.stopping import end_tasks

NAMES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


@pytest.fixture(params=["file", "abstract"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """The manager's end, of both kinds of address that systemd uses."""
    file, abstract = str(tmp_path / "notify"), f"\0{uuid.uuid4().hex}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(file if request.param == "file" else abstract)
        made.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        yield made


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The process's own, without what a service manager of the test run has said."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    yield monkeypatch
    for name in NAMES:
        os.environ.pop(name, None)


def address_of(listening: socket.socket) -> str:
    """Return the address as systemd writes it into the environment."""
    name = listening.getsockname()
    return name if isinstance(name, str) else f"@{name[1:].decode()}"


def manager_at(listening: socket.socket, watchdog_seconds: float | None = None) -> ServiceManager:
    """Return one that tells this socket."""
    name = listening.getsockname()
    address = name if isinstance(name, str) else name.decode()
    return ServiceManager(Supervision(address, watchdog_seconds))


def told(listening: socket.socket) -> list[str]:
    """Return the datagrams that have arrived."""
    arrived = []
    while True:
        try:
            arrived.append(listening.recv(65536).decode())
        except BlockingIOError:
            return arrived


async def arrived(listening: socket.socket) -> str:
    """Wait for one datagram."""
    return (await asyncio.get_running_loop().sock_recv(listening, 65536)).decode()


def test_it_is_found_and_taken_out_of_the_environment(
    listening: socket.socket, environment: pytest.MonkeyPatch
) -> None:
    """Programs that the service starts are no part of it, and do not speak for it."""
    environment.setenv("NOTIFY_SOCKET", address_of(listening))
    with ServiceManager.of_this_process() as manager:
        assert not any(name in os.environ for name in NAMES)
        manager.tell_ready()
        manager.tell_stopping()
        with ServiceManager.of_this_process() as another:
            another.tell_ready()
    manager.tell_ready()
    assert told(listening) == ["READY=1", "STOPPING=1"]


def test_a_reload_has_a_beginning_with_its_time_and_an_end(listening: socket.socket) -> None:
    """It is compared with that of the signal."""
    before = time.monotonic_ns() // 1000
    with manager_at(listening) as manager, manager.reloading():
        (begun,) = told(listening)
    words, _, stamp = begun.partition("\nMONOTONIC_USEC=")
    assert words == "RELOADING=1"
    assert before <= int(stamp) <= time.monotonic_ns() // 1000
    assert told(listening) == ["READY=1"]


def test_a_reload_that_fails_has_an_end_too(listening: socket.socket) -> None:
    """Otherwise systemd waits for it until its timeout, and calls the service failed."""
    with (
        manager_at(listening) as manager,
        pytest.raises(ZeroDivisionError),
        manager.reloading(),
    ):
        raise ZeroDivisionError
    assert told(listening)[1:] == ["READY=1"]


async def test_pings_go_on_while_the_loop_runs(listening: socket.socket) -> None:
    """Several come within the time after which systemd restarts a silent service."""
    with manager_at(listening, 0.03) as manager:
        task = asyncio.create_task(manager.keep_pinging())
        for _ in range(3):
            assert await arrived(listening) == "WATCHDOG=1"
        await end_tasks(task)


async def test_nobody_is_pinged_who_does_not_wait_for_it(listening: socket.socket) -> None:
    """Without WatchdogSec."""
    with manager_at(listening) as manager:
        await manager.keep_pinging()
    assert told(listening) == []


async def test_the_status_is_one_line_whatever_it_says(listening: socket.socket) -> None:
    """A line break would begin another message to systemd."""

    async def status() -> str:
        return "not ready: away\nWATCHDOG=trigger"

    with manager_at(listening) as manager:
        task = asyncio.create_task(manager.keep_telling(status))
        assert await arrived(listening) == "STATUS=not ready: away\\nWATCHDOG=trigger"
        await end_tasks(task)


async def test_nobody_is_told_where_nobody_listens() -> None:
    """Started from a shell: nothing is sent, and no status is made."""

    async def status() -> str:
        raise AssertionError

    with ServiceManager(Supervision()) as manager:
        manager.tell_ready()
        await manager.keep_pinging()
        await manager.keep_telling(status)


def test_a_socket_that_is_gone_ends_nothing_and_is_said_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The service is what matters."""
    with ServiceManager(Supervision(str(tmp_path / "gone"))) as manager:
        manager.tell_ready()
        manager.tell_ready()
    printed = capfd.readouterr()
    assert (printed.out + printed.err).count("the service manager is not told") == 1


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({}, Supervision()),
        ({"NOTIFY_SOCKET": ""}, Supervision()),
        ({"NOTIFY_SOCKET": "@"}, Supervision()),
        ({"NOTIFY_SOCKET": "vsock:2:1"}, Supervision()),
        ({"NOTIFY_SOCKET": "/run/n"}, Supervision("/run/n")),
        ({"NOTIFY_SOCKET": "@n"}, Supervision("\0n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000"}, Supervision("/n", 30.0)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, Supervision("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, Supervision("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}, Supervision("/n")),
        ({"WATCHDOG_USEC": "30000000"}, Supervision()),
    ],
)
def test_what_systemd_says_in_the_environment(
    variables: dict[str, str], expected: Supervision, environment: pytest.MonkeyPatch
) -> None:
    """An address of another kind, and pings that are another process's, are left alone."""
    for name, value in variables.items():
        environment.setenv(name, value)
    assert take_supervision() == expected
