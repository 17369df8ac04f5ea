"""`control-plane` commands at a terminal: a process whose streams are one, of 80 columns."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from deploy.dev.product import PROGRAMS
from tests.support.surroundings import of_a_child

COLUMNS = 80
READ_BYTES = 65536
INTERRUPT = "\x03"  # ^C, behind which no line ends
SLEEPING = "S"  # proc(5)
SECONDS = 60.0  # for the whole command, on a busy machine


@frozen
class AtTerminal:
    """How a command ended, and what a person saw, including the echo of what was typed."""

    status: int
    screen: str


def at_terminal(
    settings: Mapping[str, str], *arguments: str, answers: Mapping[str, str] | None = None
) -> AtTerminal:
    """Run `control-plane ARGUMENTS` at a terminal, and type an answer behind each question. Blocks.

    Nothing is typed ahead, because a question for a password throws that away.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    with subprocess.Popen(
        # The terminal is the session's own: passwords are asked for at /dev/tty.
        ["setsid", "--ctty", str(PROGRAMS / "control-plane"), *arguments],
        env=of_a_child(settings),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        try:
            seen = _seen(ours, [*(answers or {}).items()], process.pid)
        finally:
            process.kill()  # of no effect on one that has ended
            os.close(ours)
    return AtTerminal(process.returncode, seen.decode().replace("\r\n", "\n"))


def _seen(terminal: int, unanswered: list[tuple[str, str]], process: int) -> bytes:
    """Return all that is printed until nobody has the terminal open."""
    seen, unread, deadline = b"", b"", time.monotonic() + SECONDS
    while select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            piece = os.read(terminal, READ_BYTES)
        except OSError:  # EIO
            return seen
        seen, unread = seen + piece, unread + piece
        if unanswered and unanswered[0][0].encode() in unread:
            _type(terminal, unanswered.pop(0)[1], process)
            unread = b""
    raise AssertionError(f"it waits for something else: {seen!r}")


def _type(terminal: int, answer: str, process: int) -> None:
    """Type a line; interrupt a process once it reads, because Python may lose a signal just before.

    Behind its question it sleeps nowhere else.
    """
    if answer == INTERRUPT:
        while Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(") ")[2][0] != SLEEPING:
            os.sched_yield()
        os.write(terminal, answer.encode())
    else:
        os.write(terminal, f"{answer}\n".encode())
