"""Lines to a descriptor: those of one round of the event loop go in one write.

A write takes 5 µs, as much as all other logging of an answer (docs/decisions/pulls.md). On a busy
loop one write serves a dozen lines. On an idle loop a line is written in the next round, some
microseconds later. Without a running loop, and at the end of the process, it is written at once.

What finds no room (a full disk, a pipe that does not wait for its reader) is lost by whole lines,
and a line says how many as soon as there is room.
"""

import asyncio
import atexit
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Self

from attrs import define, field


@define(eq=False)
class LineWriter:
    """Writes to one descriptor, from any thread."""

    _descriptor: int
    # Returns the line that tells how many were lost.
    _tell_lost: Callable[[int], bytes] = lambda _: b""
    _rest: bytes = field(default=b"", init=False)  # of a line that was begun
    _lost: int = field(default=0, init=False)  # lines, and nobody was told of them yet
    # A thread adds to it without the lock: only whoever has that takes out of it.
    _waiting: deque[bytes] = field(factory=deque, init=False)
    # A destructor may log while its own thread is writing, hence reentrant.
    _lock: threading.RLock = field(factory=threading.RLock, init=False)
    _is_flushing: bool = field(default=False, init=False)
    # The loop that is about to flush, and the thread in which it runs.
    _flushing_in: tuple[asyncio.AbstractEventLoop, int] | None = field(default=None, init=False)

    @classmethod
    def open(cls, descriptor: int, tell_lost: Callable[[int], bytes]) -> Self:
        """Return a writer that leaves nothing unwritten when the process ends."""
        writer = cls(descriptor, tell_lost)
        atexit.register(writer.flush)
        return writer

    def write_soon(self, line: bytes) -> None:
        """Write a line in the next round of the running loop."""
        self._waiting.append(line)
        if self._is_about_to_flush():
            return
        loop = asyncio._get_running_loop()  # noqa: SLF001 - documented; the public one raises, at 1 µs
        if loop is None:
            self.flush()
            return
        self._flushing_in = loop, threading.get_ident()
        loop.call_soon(self.flush)

    def _is_about_to_flush(self) -> bool:
        """Tell whether this thread's loop will, after an earlier line of the same round.

        To ask for the running loop would be a call of the kernel (`getpid`) for each line.
        """
        flushing_in = self._flushing_in
        if flushing_in is None:
            return False
        loop, thread = flushing_in
        return thread == threading.get_ident() and loop.is_running()

    def write(self, line: bytes) -> None:
        """Write a line now, after those that wait."""
        self._waiting.append(line)
        self.flush()

    def flush(self) -> None:
        """Write what waits, as far as it can be written: a pull is worth more than a line."""
        with self._lock:
            if self._is_flushing:
                return  # a destructor logged in the middle of a write: its line goes with the next
            self._is_flushing, self._flushing_in = True, None
            waiting = self._waiting
            try:
                self._write([waiting.popleft() for _ in range(len(waiting))])
                while waiting:
                    self._write([waiting.popleft() for _ in range(len(waiting))])
            finally:
                self._is_flushing = False

    def _write(self, lines: list[bytes]) -> None:
        """Write lines behind what is left of those before; what finds no room is lost by the line.

        The rest of a line that was begun comes first, whenever there is room, and then how many
        lines were lost: none joins another one.
        """
        told = self._tell_lost(self._lost) if self._lost else b""
        pieces = [self._rest, told, *lines]
        content = b"".join(pieces)
        written = _write_what_can_be(self._descriptor, content)
        if written == len(content):
            self._rest, self._lost = b"", 0
            return
        self._rest, lost, end = b"", 0, 0
        for number, piece in enumerate(pieces):
            begin, end = end, end + len(piece)
            if end <= written:
                continue
            if begin < written or number == 0:
                self._rest = content[max(begin, written) : end]
            else:
                lost += self._lost if piece is told else 1
        self._lost = lost


def _write_what_can_be(descriptor: int, content: bytes) -> int:
    """Return how many bytes were written: fewer if there is no room, or nobody reads them."""
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        pass
    return len(content) - len(rest)
