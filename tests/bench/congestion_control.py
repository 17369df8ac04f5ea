"""Which TCP congestion control a run has: the one that was asked for, else the best there is.

A new network begins with what the machine has. It may take another one only if the kernel allows
that one to everybody, and many kernels do not allow every one that they have.
"""

import socket
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc/sys/net/ipv4")
_CONGESTION_CONTROL: Final = _PROC / "tcp_congestion_control"
_AVAILABLE: Final = _PROC / "tcp_available_congestion_control"
_ALLOWED: Final = _PROC / "tcp_allowed_congestion_control"

# Cubic is Linux's own default. Reno is in every kernel. Neither paces, so the server is measured.
PREFERRED: Final = ("cubic", "reno")
# BBR and its successors (bbr2, bbr3) pace. Loopback has no queue that does this for them: the
# kernel spends a timer on each packet, most of all on the fastest server's.
PACING: Final = "bbr"
UNKNOWN: Final = "unknown congestion control"
_MAX_NAME_BYTES: Final = 16  # TCP_CA_NAME_MAX of linux/tcp.h


def in_use() -> str:
    """Return what new connections are made with, or `UNKNOWN` if the kernel does not say."""
    try:
        with socket.socket() as any_socket:
            name = any_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _MAX_NAME_BYTES)
    except OSError:
        return UNKNOWN
    return name.partition(b"\0")[0].decode()


def choose(asked: str | None) -> None:
    """Give this network the one that was asked for, else the best that the kernel lets it have.

    Never fails: if the kernel refuses all of them, the network keeps what it began with.
    """
    present = in_use()
    for name in best_first(present, _read(_AVAILABLE), _read(_ALLOWED), asked):
        if name == present or _take(name):
            return


def best_first(
    present: str, available: str | None, allowed: str | None, asked: str | None
) -> list[str]:
    """Return what can be tried, the best first; `asked` is the best if it can be tried.

    `present` needs nobody's permission. `available` and `allowed` are what the kernel's files of
    these names hold; None if they cannot be read, and then the kernel decides when it is tried.
    """
    permitted = _names(available if allowed is None else allowed)
    if available is not None:
        permitted = [name for name in permitted if name in _names(available)]
    candidates = dict.fromkeys([present, *permitted])
    return sorted(candidates, key=lambda name: (name != asked, _rank(name)))


def _rank(name: str) -> int:
    if name in PREFERRED:
        return PREFERRED.index(name)
    if name == UNKNOWN:
        return len(PREFERRED) + 2
    return len(PREFERRED) + name.startswith(PACING)


def _names(content: str | None) -> list[str]:
    return (content or "").split()


def _read(file: Path) -> str | None:
    try:
        return file.read_text()
    except OSError:
        return None


def _take(name: str) -> bool:
    try:
        _CONGESTION_CONTROL.write_text(name)
    except (
        OSError
    ):  # not allowed after all, a read-only /proc, or a kernel with one for all networks
        return False
    return True
