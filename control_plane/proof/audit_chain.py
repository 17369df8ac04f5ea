"""The signed log that this process stands on: read once at the start, then followed.

- At the start, the signed checkpoint is read from the database, and then all entries after it;
  without a checkpoint, the whole log.
- Every read and every act first reads the entries that others appended since, in the state of the
  database that it sees.
- A log is refused if it does not agree with its signatures, with the checkpoint, or with what this
  process has seen. A process that has just started then reads nothing. One that was running goes
  on reading with the log that it knows. Both refuse acts.
- A refused log is taken again as soon as it agrees, or has a signed entry, new to this process,
  that accepts the restore of a backup.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from attrs import define, field, frozen

from control_plane.clock import Clock, unix_milliseconds
from control_plane.database.database import Database, DatabaseConnection
from control_plane.database.one_trip import Part
from control_plane.errors import (
    AuditDamagedError,
    AuditUnreadError,
    ControlPlaneError,
)
from control_plane.proof.belief import HighestGenerations
from control_plane.proof.chain_reading import Reading, read_log, read_rows, vanished
from control_plane.proof.chain_store import (
    entries_since,
    entry_rows_of,
    fetch_checkpoint,
    put_checkpoint,
)
from control_plane.proof.checkpoint import OlderCheckpointError, checkpoint_of, log_at
from control_plane.proof.proofs import Proofs, newest_acts
from control_plane.proof.questions import Questions
from control_plane.proof.session_endings import ENDINGS_KEPT
from control_plane.proof.signed_log import BEGINNING, Place, SignedLog
from control_plane.proof.signer import Signer
from shared.generation_bound import highest_generation_at
from shared.statement import StatementRefusedError
from shared.structured_log import get_logger

PATIENCE_SECONDS: Final = 5.0  # that a call waits while a start is still reading
RETRY_SECONDS: Final = 1.0  # not every call reads a refused log again
CHECKPOINT_ENTRIES: Final = 2000  # about so many are read by a start; some 50 ms
SUBJECTS_PER_ENTRY: Final = 10  # with many subjects it comes later, because it holds all of them

_log = get_logger("control_plane.audit_chain")


@frozen
class SeenChain:
    """What is known of the chain from before a start: where it ended, and the accepted restores.

    The hash is empty if an older version kept the place alone.
    """

    end: Place = BEGINNING
    restores: frozenset[str] = frozenset()


@define(eq=False)
class AuditChain:
    """The newest log that is believed, and what is wrong with the database's own."""

    database: Database
    signer: Signer
    highest: HighestGenerations
    clock: Clock
    seen: SeenChain = SeenChain()
    checkpoint_entries: int = CHECKPOINT_ENTRIES
    problem: str | None = field(default=None, init=False)  # why the database's log is refused
    log: SignedLog | None = field(default=None, init=False)
    _refused_at: float = field(default=0.0, init=False)
    _checkpointed: int = field(default=0, init=False)  # the place of the checkpoint that was read
    _loading: asyncio.Task[SignedLog] | None = field(default=None, init=False)
    _failure: tuple[float, ControlPlaneError] | None = field(default=None, init=False)

    @asynccontextmanager
    async def reading(
        self, *parts: Part, about: Collection[str] = (), entries_about: Collection[str] = ()
    ) -> AsyncIterator[Proofs]:
        """Yield what one state of the database proves, by the log of that state.

        That is: the rows of the parts, the statements and newest entries of the subjects in
        `about`, and the newest entries of those in `entries_about`. It takes one round trip, unless
        others have appended much since. Raises `AuditDamagedError` if no log is believed,
        `AuditUnreadError` while a start still reads it, and what `Database` raises.
        """
        known = await self.loaded()  # taken before the read, so that what is read is not older
        questions = Questions(parts, about, entries_about)
        async with self.database.connection() as connection:
            proofs = await self._read(connection, known, questions, follows=self._may_follow)
            if proofs is not None:
                yield proofs
                return
        async with self.database.snapshot() as connection:
            log = known
            with suppress(AuditDamagedError):
                log = await self._follow(connection, known)
            yield await self._read_at(connection, log, questions)

    async def within(self, connection: DatabaseConnection, questions: Questions) -> Proofs:
        """Return what is asked, as it is in the transaction of an act, which holds the act lock.

        Raises `AuditDamagedError` if no entry can follow.
        """
        known = await self.loaded()
        proofs = await self._read(connection, known, questions, follows=True)
        if proofs is None:
            log = await self._follow(connection, known)
            proofs = await self._read_at(connection, log, questions)
        return proofs

    @property
    def _may_follow(self) -> bool:
        """Whether the database's log is read: one that was refused waits for `RETRY_SECONDS`."""
        return self.problem is None or time.monotonic() > self._refused_at + RETRY_SECONDS

    async def _read(
        self,
        connection: DatabaseConnection,
        known: SignedLog,
        questions: Questions,
        *,
        follows: bool,
    ) -> Proofs | None:
        """Return what is asked, by a log that follows the known one; None if it does not follow."""
        since = entries_since(known.end)
        answer = await questions.fetch(connection, known, since)
        rows = entry_rows_of(answer.rows[since])
        log = known
        if follows:
            reading = read_rows(rows, self.signer, known)
            if reading is None:
                return None
            log = self._followed(known, reading)
        proofs = answer.proofs(connection, log, self.highest_generation())
        if log.end != known.end:
            new = [
                place for place in newest_acts(log, questions.subjects) if known.is_before(place)
            ]
            proofs.note_entries(new, rows)
        return proofs

    async def _read_at(
        self, connection: DatabaseConnection, log: SignedLog, questions: Questions
    ) -> Proofs:
        answer = await questions.fetch(connection, log)
        return answer.proofs(connection, log, self.highest_generation())

    async def _follow(self, connection: DatabaseConnection, known: SignedLog) -> SignedLog:
        """Return the log as this connection sees it, or raise `AuditDamagedError`."""
        try:
            reading = await read_log(connection, self.signer, known)
        except AuditDamagedError as error:
            self._refuse(str(error))
            raise
        return self._followed(known, reading)

    def _followed(self, known: SignedLog, reading: Reading) -> SignedLog:
        """Return the log of a reading, having taken it over."""
        if reading.log.end != known.end:
            made = reading.newest.made.items()
            self.take(reading.log, {subject: each.generation for subject, each in made})
        elif self.log is known:
            self._agree()
        return reading.log

    def take(self, log: SignedLog, generations: Mapping[str, int]) -> None:
        """Go on with a log that follows the known one; the generations are those that it adds."""
        self._remember(generations.items())
        if self.log is None or log.end.sequence > self.log.end.sequence:
            self.log = log
            self._agree()

    async def loaded(self) -> SignedLog:
        """Return the known log; if there is none, read it, waiting `PATIENCE_SECONDS` at most."""
        if self.log is not None:
            return self.log
        if self._failure is not None and time.monotonic() < self._failure[0] + RETRY_SECONDS:
            raise self._failure[1]
        loading = self._loading = self._loading or asyncio.create_task(self.load())
        await asyncio.wait({loading}, timeout=PATIENCE_SECONDS)
        if not loading.done():
            raise AuditUnreadError
        self._loading = None
        return loading.result()

    async def load(self, *, whole: bool = False) -> SignedLog:
        """Read the log from the checkpoint on, or the whole of it; raise why it cannot be read."""
        try:
            reading = await self._read_anew(whole=whole)
        except ControlPlaneError as error:
            self._failure = time.monotonic(), error
            if isinstance(error, AuditDamagedError):
                self._refuse(str(error))
            raise
        self._remember((subject, made.generation) for subject, made in reading.log.all_made())
        self.log = reading.log
        self._agree()
        return reading.log

    async def _read_anew(self, *, whole: bool) -> Reading:
        seen = self.seen if self.log is None else SeenChain(self.log.end, self.log.restores)
        async with self.database.snapshot() as connection:
            base = SignedLog() if whole else await self._at_checkpoint(connection)
            reading = await read_log(connection, self.signer, base, seen=seen.end)
        self._checkpointed = base.end.sequence
        if not reading.has_seen and not reading.log.restores - seen.restores:
            raise vanished(seen.end, reading.log.end)
        return reading

    async def _at_checkpoint(self, connection: DatabaseConnection) -> SignedLog:
        checkpoint = await fetch_checkpoint(connection)
        if checkpoint is None:
            return SignedLog()
        try:
            return await asyncio.to_thread(log_at, checkpoint, self.signer)
        except OlderCheckpointError as older:
            _log.info("audit checkpoint not used", reason=str(older))
            return SignedLog()
        except StatementRefusedError as error:
            _log.warning("audit checkpoint not believed", reason=str(error))
            return SignedLog()

    async def look_after(self) -> None:
        """Follow the log, or read one that was refused; write a checkpoint when one is due.

        Raises `DatabaseUnavailableError` or `SchemaOutdatedError`.
        """
        try:
            async with self.reading():
                pass
            if self.problem is not None:
                await self.load()
        except (AuditDamagedError, AuditUnreadError):
            return  # `/readyz` says so
        await self._checkpoint_if_due()

    async def _checkpoint_if_due(self) -> None:
        if self.log is None or self.problem is not None:
            return
        since = self.log.end.sequence - self._checkpointed
        subjects = self.log.subjects_count
        if since < max(self.checkpoint_entries, subjects // SUBJECTS_PER_ENTRY):
            return
        await self.write_checkpoint(self.log)

    async def write_checkpoint(self, log: SignedLog) -> None:
        """Sign what the log says, and write it in place of the checkpoint before."""
        now = self.clock()
        checkpoint = await asyncio.to_thread(checkpoint_of, log, now, self.signer)
        if checkpoint is not None:
            async with self.database.transaction() as connection:
                await put_checkpoint(connection, checkpoint)
        self._checkpointed = log.end.sequence
        if self.log is not None:
            self.log = self.log.without_endings_before(now - ENDINGS_KEPT)
        _log.info("audit checkpoint written", count=log.end.sequence)

    def highest_generation(self) -> int:
        """Return the highest generation that is signed or believed at this time."""
        return highest_generation_at(unix_milliseconds(self.clock()))

    def _remember(self, generations: Iterable[tuple[str, int]]) -> None:
        highest = self.highest_generation()
        for subject, generation in generations:
            if generation <= highest:
                self.highest.remember(subject, generation)

    def _refuse(self, problem: str) -> None:
        self.problem, self._refused_at = problem, time.monotonic()

    def _agree(self) -> None:
        self.problem = self._failure = None
