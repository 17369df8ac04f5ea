"""A crash writes no core: it would hold opened passwords and private keys.

There are two locks. `RLIMIT_CORE` keeps the kernel from writing a file. `PR_SET_DUMPABLE` keeps it
from feeding a core to a program such as systemd-coredump, which the limit does not stop (core(5)).
The second lock also keeps other processes of the same user from reading our memory (ptrace(2),
/proc/<pid>/mem), so no debugger can attach.
"""

import ctypes
import os
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def forbid_core_dumps() -> None:
    """Forbid cores in this process. Programs that it starts are not affected."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    _set_dumpable(0)


def allow_core_dumps() -> None:
    """Undo `forbid_core_dumps`, for an operator who looks for a fault and knows what is in them."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    _set_dumpable(1)


def _set_dumpable(value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
