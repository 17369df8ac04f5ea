"""The side of whoever starts: a warm program, and what it forks.

A fork is the program itself: its `main`, its settings, streams, signals and end. It is spared what
every start does alike, the interpreter's own and the imports: half a second of CPU. It dies with
its warm program, and that one with us. Who tests how a program starts, what memory it holds or what
/proc says of its command line and environment starts it cold.
"""

import atexit
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import orjson
from attrs import define, field, frozen

from deploy.dev.debian import REPOSITORY
from deploy.dev.processes import Child, ChildFailedError, begin_log

RUN_SECONDS = 120.0  # of a command, on a loaded machine
_MILLISECONDS = 1000


@frozen
class Finished:
    """How a command ended, and what it said."""

    status: int
    output: str = field(repr=False)
    words: str

    @property
    def result(self) -> Any:
        """The output as JSON."""
        return orjson.loads(self.output)


@define(eq=False)
class WarmProgram:
    """A program that forks, on one socket."""

    _name: str
    _child: Child
    _asked: socket.socket
    _asking: threading.Lock = field(factory=threading.Lock, init=False)

    @classmethod
    def start(cls, module: str, *imported: str, surroundings: Mapping[str, str]) -> Self:
        """Start the program of a module's `main`; it imports the others besides.

        Forks have the surroundings for what an interpreter and its libraries read as they start.
        """
        ours, its = socket.socketpair()
        name = module.partition(".")[0].replace("_", "-")
        folder = Path(tempfile.mkdtemp(prefix=f"warm-{name}-"))
        atexit.register(shutil.rmtree, folder)
        with its:
            child = Child.start(
                [
                    *(sys.executable, "-m", "tests.support.warm.forking", str(its.fileno())),
                    *(module, *imported),
                ],
                log=folder / "log",
                environment=surroundings,
                cwd=REPOSITORY,
                handed_on=[its.fileno()],
            )
        atexit.register(child.kill)  # and with it whatever it forked
        return cls(name, child, ours)

    def fork(
        self, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str], cwd: Path
    ) -> Child:
        """Start the program, with this environment and nothing else in it.

        Its log is there when this returns, as `Child.start` has it.
        """
        begin_log(log)
        return Child(self._fork(arguments, environment, cwd, log, log), self._name, log)

    def run(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], given: str = ""
    ) -> Finished:
        """Run the program to its end, in our folder; `given` is its standard input."""
        with tempfile.TemporaryDirectory() as name:
            streams = [Path(name, stream) for stream in ("output", "words", "input")]
            output, words, typed = streams
            typed.write_text(given)
            fork = self._fork(arguments, environment, Path.cwd(), output, words, typed)
            try:
                status = fork.wait(RUN_SECONDS)
            except subprocess.TimeoutExpired:
                fork.send_signal(signal.SIGKILL)
                fork.wait()
                raise
            return Finished(status, output.read_text(), words.read_text())

    def _fork(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path,
        output: Path,
        words: Path,
        given: Path = Path(os.devnull),
    ) -> "Fork":
        streams = {"input": str(given), "output": str(output), "words": str(words)}
        means = {"environment": dict(environment), "folder": str(cwd)}
        pid = self.ask({"command": [self._name, *arguments], **streams, **means})
        return Fork(pid, self, os.pidfd_open(pid))

    def ask(self, question: Mapping[str, object]) -> Any:
        """Return the answer to one line of JSON."""
        with self._asking:
            self._asked.sendall(orjson.dumps(question) + b"\n")
            answer = bytearray()
            while not answer.endswith(b"\n"):
                received = self._asked.recv(4096)
                if not received:
                    raise ChildFailedError(f"{self._name} forks no more:\n{self._child.log_tail}")
                answer += received
        return orjson.loads(answer)


@define(eq=False)
class Fork:
    """A forked program. It stays a zombie until its exit status is asked for, like a child."""

    pid: int
    _warm: WarmProgram
    _end: int  # the process's descriptor (pidfd_open(2)): readable once it has ended
    returncode: int | None = field(default=None, init=False)

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""
        if self.returncode is None:
            self.returncode = self._warm.ask({"reap": self.pid})
            if self.returncode is not None:
                os.close(self._end)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended; `subprocess.TimeoutExpired` if it goes on."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if left == 0:
                raise subprocess.TimeoutExpired([str(self.pid)], timeout or 0)
            end = select.poll()
            end.register(self._end, select.POLLIN)
            end.poll(None if left is None else left * _MILLISECONDS)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._end, number)
