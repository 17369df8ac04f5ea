"""CPU time, memory and sockets of processes, as the benchmark reads them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.bench.process_cost import cpu_seconds, open_sockets, resident_bytes, tree

BURN = "import time\nwhile time.process_time() < 0.3: pass"
STEPPING = """
import os, socket, sys
for step in sys.argv[1:]:
    print(flush=True)
    input()
    exec(step)
print(flush=True)
input()
"""
MIB = 1024 * 1024


def test_children_that_run_count() -> None:
    """A server is measured with its workers."""
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        try:
            assert {os.getpid(), child.pid} <= set(tree(os.getpid()))
        finally:
            child.kill()


@contextmanager
def stepping(*steps: str) -> Iterator[tuple[int, Callable[[], None]]]:
    """Give a process of its own, and what has it take the next step.

    Ours has other tests' children, and memory that an earlier one touched.
    """
    with subprocess.Popen(
        [sys.executable, "-c", STEPPING, *steps],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        asked, done = child.stdin, child.stdout
        assert done.readline()

        def step() -> None:
            asked.write(b"\n")
            asked.flush()
            assert done.readline()

        try:
            yield child.pid, step
        finally:
            child.kill()


def test_cpu_time_grows_as_it_is_spent() -> None:
    """Ticks are of ten milliseconds."""
    with stepping(BURN) as (pid, next_step):
        before = cpu_seconds([pid])
        next_step()
        assert cpu_seconds([pid]) - before >= 0.15


def test_children_that_have_ended_count() -> None:
    """As nginx's worker does for its master."""
    child = f"import subprocess; subprocess.run([sys.executable, '-c', {BURN!r}], check=True)"
    with stepping(child) as (pid, next_step):
        before = cpu_seconds([pid])
        next_step()
        assert cpu_seconds([pid]) - before >= 0.25


def test_memory_that_is_touched_is_resident() -> None:
    """What a stopped device costs is read so."""
    with stepping(f"held = bytearray(os.urandom({MIB})) * 32") as (pid, step):
        before = resident_bytes([pid])
        step()
        assert resident_bytes([pid]) - before >= 24 * MIB


def test_open_sockets_are_counted() -> None:
    """A server that has given devices up has no memory for them."""
    open_two, close_both = "one, other = socket.socketpair()", "one.close(); other.close()"
    with stepping(open_two, close_both) as (pid, step):
        assert open_sockets([pid]) == 0
        step()
        assert open_sockets([pid]) == 2
        step()
        assert open_sockets([pid]) == 0
