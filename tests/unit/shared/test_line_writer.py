"""Lines of one round of the loop go in one write; none is lost, none runs into another."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from shared.line_writer import LineWriter


@frozen
class Pipe:
    """A pipe, and what was written into it by one write each."""

    reader: int
    writer: LineWriter

    def waiting(self) -> bytes:
        """Return what can be read now; nothing where nothing was written."""
        try:
            return os.read(self.reader, 65536)
        except BlockingIOError:
            return b""


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe whose reader never waits."""
    reader, descriptor = os.pipe()
    os.set_blocking(reader, False)
    yield Pipe(reader, LineWriter(descriptor))
    os.close(reader)
    os.close(descriptor)


async def test_lines_of_one_round_go_in_one_write(pipe: Pipe) -> None:
    """A write for each would be a third of a small answer's time."""
    pipe.writer.write_soon(b"1\n")
    pipe.writer.write_soon(b"2\n")
    assert pipe.waiting() == b""
    await asyncio.sleep(0)
    assert pipe.waiting() == b"1\n2\n"
    pipe.writer.write_soon(b"3\n")
    await asyncio.sleep(0)
    assert pipe.waiting() == b"3\n"


async def test_a_grave_line_comes_at_once_and_after_those_before_it(pipe: Pipe) -> None:
    """What explains a crash is on disk before it."""
    pipe.writer.write_soon(b"1\n")
    pipe.writer.write(b"2\n")
    assert pipe.waiting() == b"1\n2\n"
    await asyncio.sleep(0)
    assert pipe.waiting() == b""


def test_without_a_loop_nothing_waits(pipe: Pipe) -> None:
    """Commands, threads, and what comes before the loop and after it."""
    pipe.writer.write_soon(b"1\n")
    assert pipe.waiting() == b"1\n"


def test_a_loop_that_ended_keeps_no_line(pipe: Pipe) -> None:
    """Neither its own last one nor those of the next loop."""

    async def tell(line: bytes) -> None:
        pipe.writer.write_soon(line)

    for line in (b"1\n", b"2\n"):
        asyncio.run(tell(line))
    pipe.writer.flush()
    assert pipe.waiting() == b"1\n2\n"


async def test_a_thread_s_line_takes_waiting_ones_along(pipe: Pipe) -> None:
    """In the order in which they were told."""
    pipe.writer.write_soon(b"1\n")
    thread = threading.Thread(target=pipe.writer.write_soon, args=(b"2\n",))
    thread.start()
    thread.join()
    assert pipe.waiting() == b"1\n2\n"


def test_the_end_of_the_process_writes_what_waits(tmp_path: Path) -> None:
    """Of a loop that was stopped in the very round of the line too."""
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio\n"
        "from shared.line_writer import LineWriter\n"
        "writer = LineWriter.open(1, lambda _: b'')\n"
        "loop = asyncio.new_event_loop()\n"
        "loop.call_soon(lambda: (loop.stop(), writer.write_soon(b'last\\n')))\n"
        "loop.run_forever()\n"
        "loop.close()\n"
    )
    ended = subprocess.run([sys.executable, str(program)], capture_output=True, check=True)
    assert (ended.stdout, ended.stderr) == (b"last\n", b"")


def test_a_line_does_not_wait_for_a_loop_that_has_ended(pipe: Pipe) -> None:
    """A program that runs one loop after the other has all its lines."""

    async def one_line(line: bytes) -> None:
        pipe.writer.write_soon(line)
        await asyncio.sleep(0)

    ended = asyncio.new_event_loop()
    ended.call_soon(pipe.writer.write_soon, b"1\n")
    ended.call_soon(ended.stop)
    ended.run_forever()
    asyncio.run(one_line(b"2\n"))
    assert pipe.waiting() == b"1\n2\n"
    ended.close()


def test_of_several_threads_and_a_loop_no_line_is_lost(tmp_path: Path) -> None:
    """Whoever flushes takes what the others add meanwhile, each line once and in its order."""
    lines_of_each, names = 2000, ("loop", "a", "b")
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    writer = LineWriter(descriptor)

    def tell(name: str, number: int) -> None:
        writer.write_soon(f"{name} {number}\n".encode())

    def tell_all(name: str) -> None:
        for number in range(lines_of_each):
            tell(name, number)

    async def in_a_loop() -> None:
        for number in range(lines_of_each):
            tell("loop", number)
            if number % 7 == 0:
                await asyncio.sleep(0)

    threads = [threading.Thread(target=tell_all, args=(name,)) for name in names[1:]]
    for thread in threads:
        thread.start()
    asyncio.run(in_a_loop())
    for thread in threads:
        thread.join()
    writer.flush()
    os.close(descriptor)
    told = [line.split() for line in path.read_text().splitlines()]
    for name in names:
        assert [int(each[1]) for each in told if each[0] == name] == [*range(lines_of_each)]


@given(
    st.lists(st.integers(min_value=2, max_value=30_000), min_size=1, max_size=40),
    st.integers(min_value=1, max_value=60_000),
)
def test_what_finds_no_room_is_lost_by_whole_lines_and_told(
    lengths: list[int], read_at_a_time: int
) -> None:
    """A pipe that does not wait for its reader took the beginning of a line, and the next joined.

    The reader reads now and then; what it has at the end is whole lines, and how many it has not.
    """
    reader, descriptor = os.pipe2(os.O_NONBLOCK)
    writer, got, lines = LineWriter(descriptor, lambda count: b"lost %d\n" % count), b"", []

    def read() -> bytes:
        try:
            return os.read(reader, read_at_a_time)
        except BlockingIOError:
            return b""

    for number, length in enumerate(lengths):
        lines.append(b"%d" % (number % 10) * (length - 1) + b"\n")
        writer.write(lines[-1])
        if number % 3 == 0:
            got += read()
    while found := read():
        got += found
    writer.flush()  # there is room by now
    while found := read():
        got += found
    os.close(reader)
    os.close(descriptor)
    told = [line for line in got.splitlines(keepends=True) if line.startswith(b"lost ")]
    whole = [line for line in got.splitlines(keepends=True) if line not in told]
    remaining = iter(lines)
    assert all(line in remaining for line in whole)  # in their order, and each as it was
    assert sum(int(line.split()[1]) for line in told) == len(lines) - len(whole)
