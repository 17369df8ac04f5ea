"""The state file beside the running feed: written in a thread, and caught up after a failure.

If something cannot be written (because the disk is full or hangs, or the file system has become
read-only), it is served from memory nevertheless. `problem` says so, and it is written with the
next change, so that no restart goes by a statement that was already replaced.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from itertools import islice
from typing import Final

from attrs import define, field

from facade.approvals.snapshot import Snapshot
from facade.approvals.state_file import StateFile, StateRow
from facade.approvals.statement_rows import BATCH_ROWS
from facade.loop.thread_work import in_access_thread
from shared.structured_log import get_logger

SAVE_SECONDS: Final = 5.0  # a disk that hangs must not keep a revocation from being heard
# A corrected clock steps back by less. If it is more, nobody knows how long ago something was.
MAX_CLOCK_STEP_BACK_SECONDS: Final = 300.0
HANGS: Final = "the state folder does not answer"
_log = get_logger("facade.remembering")


@define(eq=False)
class Remembering:
    """What the feed's one task keeps on disk of the snapshot."""

    _state_file: StateFile
    _snapshot: Snapshot
    _save_seconds: float = SAVE_SECONDS
    _unsaved: set[str] = field(factory=set, init=False)
    _saving: asyncio.Task[None] | None = field(default=None, init=False)
    problem: str | None = field(default=None, init=False)

    async def batches(self) -> AsyncIterator[list[StateRow]]:
        """Yield every remembered statement; raise `StateFileError` if the file is damaged.

        In batches, because collecting garbage among all of them at once would block the loop.
        """
        rows = self._state_file.rows()
        while batch := await in_access_thread(lambda: list(islice(rows, BATCH_ROWS))):
            yield batch

    async def age_seconds(self) -> float | None:
        """Return how long ago the database was last read whole; None if nobody can say."""
        read_at = await in_access_thread(self._state_file.last_read_milliseconds)
        if read_at is None:
            return None
        age = time.time() - read_at / 1000
        if age < -MAX_CLOCK_STEP_BACK_SECONDS:
            _log.warning("the clock was set back behind the last read of the database")
            return None
        return max(0.0, age)

    async def keep(self, subjects: Iterable[str], read_at: int | None) -> None:
        """Write what is known of the subjects, and when (Unix milliseconds) all was read."""
        self._unsaved.update(subjects)
        to_save = [
            (subject, known)
            for subject in self._unsaved
            if (known := self._snapshot.remembered.get(subject)) is not None
        ]
        if not to_save and read_at is None:
            return
        if self._saving is not None and _problem_of(self._saving) == HANGS:
            return  # that was said already; what is unsaved waits
        self._saving = asyncio.create_task(
            in_access_thread(self._state_file.save, to_save, read_at)
        )
        await asyncio.wait([self._saving], timeout=self._save_seconds)
        self._note_problem(_problem_of(self._saving))
        if self.problem is None:
            self._unsaved.clear()

    async def close(self) -> None:
        """Close the state file, once what is being written has been written, or has failed.

        A disk that hangs is waited for: whoever ends the process bounds that.
        """
        if self._saving is not None:
            await asyncio.wait([self._saving])
            self._note_problem(_problem_of(self._saving))
        await in_access_thread(self._state_file.close)

    def _note_problem(self, problem: str | None) -> None:
        if problem is not None and self.problem is None:
            _log.error("state file not written", reason=problem)
        elif problem is None and self.problem is not None:
            _log.info("state file written again")
        self.problem = problem


def _problem_of(saving: asyncio.Task[None]) -> str | None:
    if not saving.done():
        return HANGS
    error = saving.exception()
    if error is None:
        return None
    return f"the state folder cannot be written: {type(error).__name__}"
