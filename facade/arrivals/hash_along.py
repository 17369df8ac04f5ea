"""The hash of a blob that arrives in any order: of what its file has, from the first byte on.

It is taken as far as all before has come. What is hashed is read back from the file, so that the
proof is of what readers are given, whichever stream brought it last.

What an earlier flight has left is hashed again only when the proof is needed. A device that reads a
blob in one range after the other, with pauses, begins a flight with each: all of the blob's
beginning would be hashed for each range (docs/decisions/arrivals.md).
"""

import asyncio
import threading
from typing import Final

from attrs import define, field

from facade.arrivals.arrival import Progress
from facade.arrivals.verified_pieces import PieceVerifier
from facade.loop.thread_work import finish_in_thread
from facade.store.ingest_file import REHASH_BYTES

HASHED_AT_ONCE: Final = 64 * REHASH_BYTES  # as long as a revocation may wait
HASHED_BY_A_WRITER: Final = 4 * REHASH_BYTES  # in addition to its write, which others wait for


@define(eq=False)
class HashAlong:
    """The hash of one blob of known length. Awaited on one loop, taken in threads."""

    verifier: PieceVerifier
    _progress: Progress
    _length: int
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _has_come: asyncio.Event = field(factory=asyncio.Event, init=False)
    _is_needed: asyncio.Event = field(factory=asyncio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        """Hash along from the first byte on, unless there is a beginning already."""
        if not self._progress.come.run_end(0):
            self.need()

    def need(self) -> None:
        """Hash what there is: all of it has come, or somebody waits for the proof, or will."""
        self._is_needed.set()

    def note(self) -> None:
        """Look again, because more has come."""
        self._has_come.set()

    async def to_the_end(self) -> None:
        """Hash all of it as it comes. It was right if this returns; raises `WrongBytesError`."""
        await self._is_needed.wait()
        while (taken := self.verifier.taken) < self._length:
            self._has_come.clear()
            end = min(self._progress.come.run_end(taken), taken + HASHED_AT_ONCE)
            if end > taken:
                await finish_in_thread(self._take_to, end)
            else:
                await self._has_come.wait()
        self.verifier.finish()

    def take_written(self, first: int, end: int) -> None:
        """Hash what was just written, if all before it was, and it is little. Blocks."""
        taken = self.verifier.taken
        if first <= taken < end <= taken + HASHED_BY_A_WRITER:
            self._take_to(end)

    def _take_to(self, end: int) -> None:
        with self._lock:
            while (taken := self.verifier.taken) < end:
                count = min(REHASH_BYTES, end - taken)
                self.verifier.take_verbatim(self._progress.file.read_now(taken, count))
