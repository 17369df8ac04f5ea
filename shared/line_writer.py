"""Lines to a descriptor: those of one round of the event loop go in one write.

A write takes 5 µs, as much as all other logging of an answer (docs/decisions/pulls.md). On a busy
loop one write serves a dozen lines. On an idle loop a line is written in the next round, some
microseconds later. Without a running loop, and at the end of the process, it is written at once.
"""

import asyncio
import atexit
import os
import threading
from collections import deque
from typing import Self

from attrs import define, field


@define(eq=False)
class LineWriter:
    """Writes to one descriptor, from any thread."""

    _descriptor: int
    # A thread adds to it without the lock: only whoever has that takes out of it.
    _waiting: deque[bytes] = field(factory=deque, init=False)
    # A destructor may log while its own thread is writing, hence reentrant.
    _lock: threading.RLock = field(factory=threading.RLock, init=False)
    _is_flushing: bool = field(default=False, init=False)
    # The loop that is about to flush, and the thread in which it runs.
    _flushing_in: tuple[asyncio.AbstractEventLoop, int] | None = field(default=None, init=False)

    @classmethod
    def open(cls, descriptor: int) -> Self:
        """Return a writer that leaves nothing unwritten when the process ends."""
        writer = cls(descriptor)
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
        """Write what waits. What cannot be written is dropped: a pull is worth more than a line."""
        with self._lock:
            if self._is_flushing:
                return  # a destructor logged in the middle of a write: its line goes with the next
            self._is_flushing, self._flushing_in = True, None
            waiting = self._waiting
            try:
                while waiting:
                    lines = [waiting.popleft() for _ in range(len(waiting))]
                    _write_all(self._descriptor, b"".join(lines))
            except OSError:
                return  # the reader is gone, and there is nowhere left to say so
            finally:
                self._is_flushing = False


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
