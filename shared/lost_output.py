"""Output that has no room, as on a full disk: a command says so in one line."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from shared.hangup import is_serve

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def telling_lost_output() -> Iterator[None]:
    """Exit with 1 and the system's words if there is no room for what is written.

    click ends a command in silence if a pipe's reader has left, and raises any other failure. The
    failures of files that a command writes itself are told by whoever knows their names. `serve`
    has no output but its log, which raises nothing: what has no room there is another file.
    """
    if is_serve():
        yield
        return
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM or error.filename is not None:
            raise
        _let_go_of_the_rest()
        words = os.strerror(error.errno).lower()
        click.echo(f"the output cannot be written: {words}", err=True)
        raise SystemExit(1) from None


def _let_go_of_the_rest() -> None:
    """Drop what cannot be written. Python would try it again at the exit, and show a traceback."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
