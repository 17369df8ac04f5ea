"""SIGHUP before the event loop handles it. Whoever sends it wants a reload, not an end."""

import signal
import sys


def is_serve() -> bool:
    """Tell whether this process is asked for the command `serve`."""
    return sys.argv[1:2] == ["serve"]


def ignore_hangups_of_serve() -> None:
    """Ignore SIGHUP if the command is `serve`, which reads its files at its start anyway.

    To other commands it says that their terminal is gone, and it ends them. Call it in the main
    thread.
    """
    if is_serve():
        signal.signal(signal.SIGHUP, lambda *_: None)  # SIG_IGN would be handed on to children
