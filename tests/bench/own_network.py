"""A network of the run's own: a loopback interface, and the best congestion control there is.

What a machine is set to says more about a run on loopback than about the servers. BBR paces: a
network card's `fq` queue does that for all connections together, but loopback has no queue, and
there a timer is spent on each packet of whoever sends faster than it allows. On a virtual machine
that was measured to add half to the facade's CPU, and less to whoever sends more slowly.

A kernel may refuse at any step: the network, the mapping of the user, the interface. Nobody can go
back to a network that he has left. So another process, the maker, makes the network and tries it,
and the run joins the maker only when it works.
"""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from attrs import frozen

from deploy.dev.debian import REPOSITORY
from tests.bench import congestion_control

_READY: Final = "ready"
_ROOT: Final = 0
# linux/sched.h, linux/sockios.h and linux/if.h
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_INTERFACE_FLAGS: Final = struct.Struct("16sh22x")  # `struct ifreq`
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@frozen
class Network:
    """Where the servers and generators of a run meet."""

    congestion_control: str
    asked: str | None  # the congestion control that was asked for
    problem: str | None  # why it is the machine's network; None if it is the run's own

    @property
    def is_another(self) -> bool:
        """Whether a congestion control was asked for and is not this one."""
        return self.asked not in {None, self.congestion_control}

    def __str__(self) -> str:
        """Its congestion control, and whose network it is."""
        missing = f" ({self.asked} cannot be had)" if self.is_another else ""
        whose = "a network of its own" if self.problem is None else "the machine's network"
        return f"{self.congestion_control}{missing} in {whose}"


def enter(asked: str | None = None) -> Network:
    """Leave the machine's network, with every process that is started from now on.

    For a process of one thread. Never fails: if the kernel refuses, the run stays on the machine's
    network and changes nothing of it.
    """
    problem = _join_another(asked)
    return Network(congestion_control.in_use(), asked, problem)


def _join_another(asked: str | None) -> str | None:
    """Have a network made, and join it; return why that cannot be, or None."""
    command = [sys.executable, "-m", "tests.bench.own_network", *([asked] if asked else [])]
    maker = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert maker.stdout is not None  # it is a pipe
    try:
        if maker.stdout.readline().strip() == _READY:
            _join(maker.pid)
            return None
    except OSError as error:
        return f"the network cannot be joined: {error.strerror}"
    finally:
        _, said = maker.communicate()  # it ends with its input
    return said.strip()


def _join(maker: int) -> None:
    kinds = {"net": _CLONE_NEWNET}
    if os.geteuid() != _ROOT:
        kinds = {"user": _CLONE_NEWUSER, **kinds}  # the first has the right to the second
    with ExitStack() as stack:
        opened = [
            (stack.enter_context(Path(f"/proc/{maker}/ns/{name}").open("rb")), kind)
            for name, kind in kinds.items()
        ]
        for namespace, kind in opened:
            _require_success(_LIBC.setns(namespace.fileno(), kind))


def _make(asked: str | None) -> None:
    """As the maker: make the network, say that it works, and keep it until the run has joined."""
    user, group = os.geteuid(), os.getegid()
    steps: dict[str, Callable[[], None]] = {
        "the kernel gives no network": lambda: _unshare(user),
        "the user cannot be mapped into a namespace": lambda: _map_user(user, group),
        "the loopback interface cannot be used": _bring_up_loopback,
    }
    for problem, step in steps.items():
        try:
            step()
        except OSError as error:
            sys.exit(f"{problem}: {error.strerror}")
    congestion_control.choose(asked)
    sys.stdout.write(f"{_READY}\n")
    sys.stdout.flush()
    sys.stdin.read()


def _unshare(user: int) -> None:
    flags = _CLONE_NEWNET if user == _ROOT else _CLONE_NEWNET | _CLONE_NEWUSER
    _require_success(_LIBC.unshare(flags))


def _map_user(user: int, group: int) -> None:
    """Be in the user namespace who we were outside; root has none."""
    if user != _ROOT:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _bring_up_loopback() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _INTERFACE_FLAGS.pack(b"lo", _IFF_UP))
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())


def _require_success(status: int) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    _make(sys.argv[1] if len(sys.argv) > 1 else None)
