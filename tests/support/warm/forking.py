"""What a warm program runs: it imports, then forks whenever it is asked to.

`python -m tests.support.warm.forking DESCRIPTOR MODULE IMPORTED...`: lines of JSON come on the
socket of that descriptor, and each is answered by one. A fork runs `MODULE.main()`, as the program
would.
"""

import ctypes
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import orjson

from shared.importing import without_collecting

_SET_PARENTS_DEATH: Final = 1  # linux/prctl.h, PR_SET_PDEATHSIG
_APPENDING: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_LIBC: Final = ctypes.CDLL(None)


def run() -> None:
    """Fork until nobody is there who could ask; in a fork, run the program."""
    descriptor, module, *imported = sys.argv[1:]
    with without_collecting():
        program = import_module(module)
        for name in imported:
            import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(descriptor)) as asked:
        become = _fork_when_asked(asked)
    if become is not None:
        become(program)


def _fork_when_asked(asked: socket.socket) -> Callable[[ModuleType], None] | None:
    """Return what a fork is to do; None in the warm program itself, when nobody asks any more."""
    warm = os.getpid()
    with asked.makefile("rwb", buffering=0) as lines:
        while line := lines.readline():
            question = orjson.loads(line)
            if "reap" in question:
                pid, status = os.waitpid(question["reap"], os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if pid else None
            else:
                answer = os.fork()
                if answer == 0:
                    return lambda program: _become(program, warm, question)
                os.setpgid(answer, answer)  # here too: whoever has the number may signal the group
            lines.write(orjson.dumps(answer) + b"\n")
    return None


def _become(program: ModuleType, warm: int, asked: dict[str, Any]) -> None:
    """Be as a `Child` is that was started with this: its group, its life, its streams."""
    os.setpgid(0, 0)
    _LIBC.prctl(_SET_PARENTS_DEATH, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != warm:
        return
    _stream(asked["input"], os.O_RDONLY, sys.stdin.fileno())
    _stream(asked["output"], _APPENDING, sys.stdout.fileno())
    _stream(asked["words"], _APPENDING, sys.stderr.fileno())
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv[:] = asked["command"]
    sys.modules["__main__"].__package__ = None  # of a script, whose name click then takes
    program.main()


def _stream(file: str, flags: int, descriptor: int) -> None:
    opened = os.open(file, flags, 0o666)
    os.dup2(opened, descriptor)
    os.close(opened)


if __name__ == "__main__":
    run()
