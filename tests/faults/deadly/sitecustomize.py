"""Has the process that finds this on PYTHONPATH die by SIGKILL at an exact moment.

`DIES_BELOW` is a folder, `DIES_AT` a number: just before the process opens, renames, removes or
makes a file below the folder for that manieth time. Kills by the clock seldom meet the moments
between a rename and the next.
"""

import os
import signal
import sys
from itertools import count

BELOW = os.environ.get("DIES_BELOW")
AT = int(os.environ.get("DIES_AT", "0"))
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}

_touches = count(1)


def _die_in_time(event: str, args: tuple[object, ...]) -> None:
    if event not in EVENTS or not isinstance(args[0], str | os.PathLike):
        return
    if os.fspath(args[0]).startswith(f"{BELOW}{os.sep}") and next(_touches) == AT:
        os.kill(os.getpid(), signal.SIGKILL)


if BELOW and AT:
    sys.addaudithook(_die_in_time)
