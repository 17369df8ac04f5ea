"""Whether another process listens on the same address, as with `FACADE_REUSE_PORT`.

The kernel spreads new connections over all processes that listen. A process that drains leaves them
to the others, if there are any.
"""

import itertools
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TABLES: Final = {
    socket.AF_INET: Path("/proc/net/tcp"),  # proc(5)
    socket.AF_INET6: Path("/proc/net/tcp6"),
}
_ADDRESS, _STATE, _INODE = 1, 3, 9  # fields of a row
_LISTENS: Final = "0A"  # TCP_LISTEN of linux/tcp_states.h


def another_listens(listening: socket.socket) -> bool:
    """Tell whether somebody else listens where this socket does; False if nobody can tell."""
    try:
        with _TABLES[listening.family].open() as rows:
            return has_another(rows, os.fstat(listening.fileno()).st_ino)
    except OSError:  # /proc is not mounted, or hidden
        return False


def has_another(rows: Iterable[str], inode: int) -> bool:
    """Tell whether the table has another listener at the address of the one with this inode.

    Listeners come first, so a table of ten thousand connections is not read to its end.
    """
    others: set[str] = set()
    ours: str | None = None
    for row in itertools.islice(rows, 1, None):  # the first row is the heading
        fields = row.split()
        if fields[_STATE] != _LISTENS:
            break
        if int(fields[_INODE]) == inode:
            ours = fields[_ADDRESS]
        else:
            others.add(fields[_ADDRESS])
    return ours in others
