"""A network of the run's own: a loopback interface, and the congestion control that is asked for.

What a machine is set to says more about a run on loopback than about the servers. BBR paces: a
network card's `fq` queue does that for all connections together, but loopback has no queue, and
there a timer is spent on each packet of whoever sends faster than it allows. On a virtual machine
that was measured to add half to the facade's CPU, and less to whoever sends more slowly.
"""

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import Final

_CONGESTION_CONTROL: Final = Path("/proc/sys/net/ipv4/tcp_congestion_control")
_AVAILABLE: Final = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")

# linux/sched.h, linux/sockios.h and linux/if.h
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
_INTERFACE_FLAGS: Final = struct.Struct("16sh22x")  # `struct ifreq`


class NoOwnNetworkError(Exception):
    """The kernel gives this process none: a container mostly may not have one."""


def available() -> list[str]:
    """Return the congestion controls that the kernel has."""
    return _AVAILABLE.read_text().split()


def enter(congestion_control: str) -> None:
    """Leave the machine's network, with every process that is started from now on.

    For a process of one thread. Raises `NoOwnNetworkError` where it stays.
    """
    try:
        _unshare()
    except OSError as error:
        raise NoOwnNetworkError(str(error)) from error
    _bring_up_loopback()
    _CONGESTION_CONTROL.write_text(congestion_control)


def congestion_control() -> str:
    """Return what connections are made with."""
    return _CONGESTION_CONTROL.read_text().strip()


def _unshare() -> None:
    """Root needs nothing else; for anybody else it is a network of a user namespace."""
    user, group = os.geteuid(), os.getegid()
    flags = _CLONE_NEWNET if user == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _bring_up_loopback() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, _INTERFACE_FLAGS.pack(b"lo", _IFF_UP))
