"""CPU time, memory and sockets of processes, as the benchmark reads them."""

import os
import socket
import subprocess
import sys
import time

from tests.bench.process_cost import cpu_seconds, open_sockets, resident_bytes, tree

BURN = "import time\nwhile time.process_time() < 0.3: pass"
MIB = 1024 * 1024


def test_cpu_time_grows_as_it_is_spent() -> None:
    """Ticks are of ten milliseconds."""
    before = cpu_seconds([os.getpid()])
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    assert cpu_seconds([os.getpid()]) - before >= 0.15


def test_children_that_have_ended_count() -> None:
    """As nginx's worker does for its master."""
    before = cpu_seconds([os.getpid()])
    subprocess.run([sys.executable, "-c", BURN], check=True)
    assert cpu_seconds([os.getpid()]) - before >= 0.25


def test_children_that_run_count() -> None:
    """A server is measured with its workers."""
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        try:
            assert {os.getpid(), child.pid} <= set(tree(os.getpid()))
        finally:
            child.kill()


def test_memory_that_is_touched_is_resident() -> None:
    """What a stopped device costs is read so."""
    before = resident_bytes([os.getpid()])
    held = bytearray(os.urandom(MIB)) * 32
    assert resident_bytes([os.getpid()]) - before >= 24 * MIB
    assert len(held) == 32 * MIB


def test_open_sockets_are_counted() -> None:
    """A server that has given devices up has no memory for them."""
    before = open_sockets([os.getpid()])
    one, other = socket.socketpair()
    with one, other:
        assert open_sockets([os.getpid()]) == before + 2
    assert open_sockets([os.getpid()]) == before
