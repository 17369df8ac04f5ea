"""Lines to a descriptor: those of one round of the event loop go in one write.

A write takes 5 µs, as much as all other logging of an answer (docs/decisions/pulls.md). On a busy
loop one write serves a dozen lines. On an idle loop a line is written in the next round, some
microseconds later. Without a running loop, and at the end of the process, it is written at once.
"""

import asyncio
import atexit
import os
import threading
from typing import Self

from attrs import define, field


@define(eq=False)
class LineWriter:
    """Writes to one descriptor, from any thread."""

    _descriptor: int
    _waiting: list[bytes] = field(factory=list, init=False)
    # A destructor may log while its own thread is writing, hence reentrant.
    _lock: threading.RLock = field(factory=threading.RLock, init=False)
    _is_flushing: bool = field(default=False, init=False)
    _flushing_loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)
    _flushing_thread: int = field(default=0, init=False)  # in which that loop runs

    @classmethod
    def open(cls, descriptor: int) -> Self:
        """Return a writer that leaves nothing unwritten when the process ends."""
        writer = cls(descriptor)
        atexit.register(writer.flush)
        return writer

    def write_soon(self, line: bytes) -> None:
        """Write a line in the next round of the running loop."""
        with self._lock:
            if not self._is_about_to_flush():
                loop = asyncio._get_running_loop()  # noqa: SLF001 - documented; the public one raises, at 1 µs
                if loop is None:
                    self.write(line)
                    return
                self._flushing_loop, self._flushing_thread = loop, threading.get_ident()
                loop.call_soon(self.flush)
            self._waiting.append(line)

    def _is_about_to_flush(self) -> bool:
        """Tell whether this thread's loop will, after an earlier line of the same round.

        To ask for the running loop would be a call of the kernel (`getpid`) for each line.
        """
        loop = self._flushing_loop
        return (
            loop is not None
            and self._flushing_thread == threading.get_ident()
            and loop.is_running()
        )

    def write(self, line: bytes) -> None:
        """Write a line now, after those that wait."""
        with self._lock:
            self._waiting.append(line)
            self.flush()

    def flush(self) -> None:
        """Write what waits. What cannot be written is dropped: a pull is worth more than a line."""
        with self._lock:
            if self._is_flushing:
                return  # a destructor logged in the middle of a write: its line goes with the next
            self._is_flushing, self._flushing_loop = True, None
            try:
                while self._waiting:
                    lines, self._waiting = self._waiting, []
                    _write_all(self._descriptor, b"".join(lines))
            except OSError:
                return  # the reader is gone, and there is nowhere left to say so
            finally:
                self._is_flushing = False


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
