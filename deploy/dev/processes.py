"""Child processes that never outlive us.

A `Child` runs in its own process group, so that Ctrl-C reaches only us, and we stop it in order. If
we die, however that happens, the kernel kills it. What it prints goes to a log file.
"""

import atexit
import contextlib
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

from attrs import define

PORTS = range(20_000, 32_000)  # below Linux's ephemeral ports: no outgoing connection takes one
CLAIMS = 64  # of ports: descriptors; whoever asked before that many others listens by now
POLL_SECONDS = 0.02
START_SECONDS = 60.0  # on a loaded machine; alone it takes one or two
STOP_SECONDS = 30.0  # on a loaded machine; whoever hangs is killed then
LOG_TAIL_BYTES = 4096

# The kernel watches for the parent's death only from the moment when setpriv asks it to. The shell
# covers the moment before: a child that already has another parent does not start.
STILL_OURS = 'test "$PPID" = "$0" && exec "$@"'


_claims: deque[socket.socket] = deque()
_chance = random.SystemRandom()  # of nobody's seed: two processes would choose the same ports


class ChildFailedError(Exception):
    """A child ended, or did not get ready; the message has the end of its log."""


@define(frozen=True)
class Identity:
    """Whom a child of root runs as. `search` lets it pass through folders closed to that user."""

    user: int
    group: int
    search: bool = False


class Process(Protocol):
    """What a child is made of: the part of `subprocess.Popen` that is needed of a process."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it has ended; `subprocess.TimeoutExpired` if it goes on."""

    def send_signal(self, sig: int, /) -> None:
        """Send a signal, unless it has ended."""


@define
class Child:
    """A running program. Made by `start`; not thread-safe."""

    process: Process
    name: str
    log: Path

    @classmethod
    def start(
        cls,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        identity: Identity | None = None,
        death_signal: str = "KILL",
        handed_on: Collection[int] = (),
    ) -> Self:
        """Start `command` (absolute, or found on the PATH that it is given).

        `environment` is all that the child sees; None passes ours on. `handed_on` are descriptors
        that it has too. The kernel ties a child's life to the THREAD that started it, so call this
        in the main thread only.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("start children from the main thread: they die with their thread")
        begin_log(log)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*_tied_to_us(death_signal, identity), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                cwd=cwd,
                process_group=0,
                pass_fds=handed_on,
            )
        return cls(process, Path(command[0]).name, log)

    @property
    def pid(self) -> int:
        """Process id, and the id of its process group."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    @property
    def log_tail(self) -> str:
        """The end of what it printed."""
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")

    def wait_until(self, ready: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Return once `ready()`.

        Raises `ChildFailedError` if it ends before that, or after `seconds`: then it is killed.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                status = self.process.returncode
                raise ChildFailedError(f"{self.name} ended with {status}:\n{self.log_tail}")
            if time.monotonic() > deadline:
                self.kill()
                raise ChildFailedError(f"{self.name} is not ready:\n{self.log_tail}")
            time.sleep(POLL_SECONDS)

    def stop(
        self, with_signal: signal.Signals = signal.SIGTERM, seconds: float = STOP_SECONDS
    ) -> int:
        """Ask it to end, kill its group after `seconds`; the exit status. Safe to call twice."""
        if self.running:
            self.resume()
            self.process.send_signal(with_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(seconds)
        return self.kill()

    def kill(self) -> int:
        """Kill the whole group, as a crash would; the exit status."""
        if self.running:
            os.killpg(self.pid, signal.SIGKILL)
        return self.process.wait()

    def pause(self) -> None:
        """Freeze the whole group: connections stay open and nothing answers."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        os.killpg(self.pid, signal.SIGCONT)


def begin_log(log: Path) -> None:
    """Make a program's log, or cut off a last line without an end.

    SIGKILL ends a write(2) to a file at any page's end. A program that is started after it, on the
    same log, would go on in that line.
    """
    log.touch()
    written = log.read_bytes()
    os.truncate(log, written.rfind(b"\n") + 1)


def _tied_to_us(death_signal: str, identity: Identity | None) -> list[str]:
    """The prefix of a command line that ties the child's life, and rights, to ours."""
    command = ["setpriv", "--pdeathsig", death_signal]
    if identity is not None:
        ids = [f"--reuid={identity.user}", f"--regid={identity.group}", "--clear-groups"]
        command += ids
        if identity.search:
            command += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
            command += ["--securebits=+no_setuid_fixup"]  # else access(2) forgets the capability
    return [*command, "/bin/sh", "-c", STILL_OURS, str(os.getpid())]


def free_port() -> int:
    """A loopback port on which nothing listens now, and that nobody else is given.

    The caller listens on it later. Until then a socket's abstract name tells every other process of
    ours that the port is taken. The name is bound in the network namespace, and goes when we end,
    however we end.
    """
    for port in _chance.sample(PORTS, k=100):
        claim = _claim(port)
        if claim is None:
            continue
        try:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _keep(claim)
        return port
    raise ChildFailedError("no free port on loopback")


def is_free(port: int) -> bool:
    """Whether nobody listens on a loopback port, or is about to; it is the caller's then."""
    claim = _claim(port)
    if claim is None:
        return False
    if port_answers(port):
        claim.close()
        return False
    _keep(claim)
    return True


def _claim(port: int) -> socket.socket | None:
    """Return what tells others of ours that a port is taken; None if one of them has it."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0development-port-{port}")
    except OSError:
        claim.close()
        return None
    return claim


def _keep(claim: socket.socket) -> None:
    _claims.append(claim)
    if len(_claims) > CLAIMS:
        _claims.popleft().close()


def _end_claims() -> None:
    while _claims:
        _claims.popleft().close()


atexit.register(_end_claims)


def port_answers(port: int) -> bool:
    """Whether something listens on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
