"""SIGHUP, from a process's first line until its loop takes it: whoever sends it wants a reload."""

import signal
import sys


def ignore_hangups_of_serve() -> None:
    """Have SIGHUP end nothing if the command is `serve`, whose files are read when it begins.

    Of other commands it is the end of their terminal, and ends them. Only in the main thread.
    """
    if sys.argv[1:2] == ["serve"]:
        signal.signal(signal.SIGHUP, lambda *_: None)  # SIG_IGN would be handed on to children
