"""`control-plane` commands at a terminal: a process whose streams are one, of 80 columns."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping

from attrs import frozen

from deploy.dev.product import PROGRAMS, whole_environment

COLUMNS = 80
READ_BYTES = 65536


@frozen
class AtTerminal:
    """How a command ended, and what a person saw: what was typed and echoed, too."""

    status: int
    screen: str


def at_terminal(settings: Mapping[str, str], *arguments: str, typed: str = "") -> AtTerminal:
    """Run `control-plane ARGUMENTS` at a terminal; `typed` is typed ahead. Blocks."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    os.write(ours, typed.encode())
    with subprocess.Popen(
        [str(PROGRAMS / "control-plane"), *arguments],
        env=whole_environment(settings),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            while piece := os.read(ours, READ_BYTES):
                seen += piece
        os.close(ours)
    return AtTerminal(process.returncode, seen.decode().replace("\r\n", "\n"))
