"""A slow link between the servers and their registry: a process that forwards, and counts.

It carries so many bytes a second in all, and so many on each connection, as registries and object
stores do. Only what the registry sends is slowed down and counted, heads of answers included. What
it is asked may be held back for a round trip.
"""

import mmap
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define

from deploy.dev.processes import Child, free_port, port_answers

UNLIMITED = 0  # bytes a second
QUIET_SECONDS = 0.4  # without a byte: nobody reads on
QUIET_AT_LATEST_SECONDS = 120.0
LOOK_SECONDS = 0.05
# What both processes share: bytes carried, bytes a second of a connection, bytes a second of all,
# microseconds for which a question is held back.
STATE = struct.Struct("=QQQQ")
CARRIED_AT, PER_CONNECTION_AT, IN_ALL_AT, DELAY_AT = 0, 8, 16, 24
MICROSECONDS = 1_000_000
_NUMBER = struct.Struct("=Q")


@define
class LinkState:
    """What the forwarding process and the benchmark tell each other, in a file that both map."""

    shared: mmap.mmap

    @classmethod
    def open(cls, path: Path) -> "LinkState":
        """Map the file, and make it if it is not there."""
        if not path.exists():
            path.write_bytes(bytes(STATE.size))
        with path.open("r+b") as file:
            return cls(mmap.mmap(file.fileno(), STATE.size))

    def read(self, at: int) -> int:
        """Return one of the numbers."""
        return int(_NUMBER.unpack_from(self.shared, at)[0])

    def write(self, at: int, value: int) -> None:
        """Replace one of the numbers."""
        _NUMBER.pack_into(self.shared, at, value)


@define
class Link:
    """The link, as the benchmark sees it."""

    port: int
    state: LinkState

    @property
    def host(self) -> str:
        """`address:port` behind which the registry stands."""
        return f"127.0.0.1:{self.port}"

    def limit(self, *, per_connection: int = UNLIMITED, in_all: int = UNLIMITED) -> None:
        """From now on carry so many bytes a second."""
        self.state.write(PER_CONNECTION_AT, per_connection)
        self.state.write(IN_ALL_AT, in_all)

    def delay(self, seconds: float) -> None:
        """From now on hold each question back for so long."""
        self.state.write(DELAY_AT, round(seconds * MICROSECONDS))

    def carried_when_quiet(self) -> int:
        """Return how many bytes it has carried, once nobody reads any more.

        Raises `TimeoutError`.
        """
        deadline = time.monotonic() + QUIET_AT_LATEST_SECONDS
        carried, since = self.state.read(CARRIED_AT), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            time.sleep(LOOK_SECONDS)
            before, carried = carried, self.state.read(CARRIED_AT)
            if carried != before:
                since = time.monotonic()
            if since > deadline:
                raise TimeoutError("somebody goes on reading from the registry")
        return carried


@contextmanager
def link(folder: Path, to_port: int) -> Iterator[Link]:
    """Run a link to what listens on a port of loopback. It limits nothing yet."""
    folder.mkdir()
    port, path = free_port(), folder / "state"
    state = LinkState.open(path)
    child = Child.start(
        [sys.executable, "-m", "tests.bench.forwarder", str(port), str(to_port), path],
        log=folder / "log",
    )
    try:
        child.wait_until(lambda: port_answers(port))
        yield Link(port, state)
    finally:
        child.stop()
