"""Keeps the snapshot fresh: LISTEN/NOTIFY names the subject that changed, a poll stands behind it.

One connection to Postgres, used by one task, so that what is read is applied in the order in
which it was read. Where LISTEN is refused (a standby), or leads nowhere (a transaction pooler), the
poll alone does it. The poll compares signatures, and reads only the rows that differ; what is
notified meanwhile is read in between.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Final, TypeVar

import asyncpg
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from facade.statements.database import (
    DATABASE_FAILURES,
    HEARTBEAT_SECONDS,
    connect_database,
    require_alive,
    signature_pages,
)
from facade.statements.remembering import BATCH_ROWS, Remembering
from facade.statements.snapshot import (
    Change,
    Outcome,
    RefusedRow,
    Snapshot,
    StatementRow,
    VerifiedRow,
    verify_row,
)
from shared.jitter import jittered
from shared.postgres.connect import reason_of
from shared.postgres.connection_parameters import ConnectionParameters
from shared.statement import StoredStatement
from shared.structured_log import get_logger
from shared.supervised import Supervisor

STATEMENTS: Final = "statements"  # the work of following them, for its owner
CHANNEL: Final = "registry_statements"
MIN_RETRY_SECONDS: Final = 0.2
MAX_RETRY_SECONDS: Final = 5.0
MAX_PENDING_SUBJECTS: Final = 1000  # above that, one whole comparison is cheaper
MAX_NOTED_SUBJECTS: Final = 100_000  # some MiB; whoever may notify may invent names
EVERYTHING: Final = ""  # what is notified of a TRUNCATE
DEVICES: Final = ("device/", "certificate/")
SUBJECTS_AT_ONCE: Final = 10_000  # looked through in about 1 ms

_COLUMNS: Final = "subject, type, key_id, payload, signature"
_log = get_logger("facade.statement_feed")

OnChange = Callable[[Change], None]
_Item = TypeVar("_Item")


@define(eq=False)
class StatementFeed:
    """Reads the facade's view into the snapshot, and has it remembered."""

    _database: ConnectionParameters
    _public_keys: Mapping[str, Ed25519PublicKey]
    _snapshot: Snapshot
    _remembering: Remembering
    _poll_interval: float
    _on_change: OnChange
    _supervisor: Supervisor = field(factory=Supervisor)
    _pending: set[str] = field(factory=set, init=False)
    _wake: asyncio.Event = field(factory=asyncio.Event, init=False)
    _last_read: float | None = field(default=None, init=False)  # as `_now` counts
    _rest_until: float = field(default=0.0, init=False)  # as `_now` counts
    is_notified: bool = field(default=False, init=False)  # whether LISTEN was accepted
    problem: str | None = field(default="the state folder was not read yet", init=False)
    was_tried: bool = field(default=False, init=False)  # whether reading the database ever ended

    def age_seconds(self) -> float | None:
        """Return how long ago the database was last read whole; None where it never was."""
        return None if self._last_read is None else max(0.0, _now() - self._last_read)

    @property
    def state_problem(self) -> str | None:
        """Why a restart would stand on less than what is served, or None."""
        return self._remembering.problem

    def look_again(self) -> None:
        """Compare everything soon: what was not believed may be, with other keys."""
        self._pending.add(EVERYTHING)
        self._wake.set()

    async def restore(self) -> None:
        """Take in what the state folder remembers, before the database is asked."""
        async for batch in self._remembering.batches():
            verified = await self._verify([each.row for each in batch])
            for remembered, candidate in zip(batch, verified, strict=True):
                self._snapshot.restore(
                    candidate, remembered.generation, withdrawn=remembered.withdrawn
                )
                if isinstance(candidate, RefusedRow):
                    _log.warning(
                        "remembered statement refused",
                        subject=candidate.row.subject,
                        reason=candidate.reason,
                    )
            gc.freeze()
        age = await self._remembering.age_seconds()
        if age is not None:
            self._last_read = _now() - age
        self.problem = "the database was not read yet"

    async def run(self) -> None:
        """Follow the database until cancelled; every failure is logged and tried again."""
        delay = MIN_RETRY_SECONDS
        while True:
            if await self._follow():
                delay = MIN_RETRY_SECONDS
            await asyncio.sleep(jittered(delay))
            delay = min(delay * 2, MAX_RETRY_SECONDS)

    async def _follow(self) -> bool:
        """Follow one connection to its end; tell whether the database was read through it."""
        connection: asyncpg.Connection | None = None
        was_read = False
        try:
            connection = await connect_database(self._database)
            connection.add_termination_listener(lambda _: self._wake.set())
            while not connection.is_closed():
                await self._listen(connection)  # each time: a standby may have been promoted
                await self._compare_all(connection)
                was_read = True
                await self._read_pending_until_next_poll(connection)
            self._note_problem("the database closed the connection")
        except DATABASE_FAILURES as error:
            self._note_problem(f"the database cannot be read: {reason_of(error)}")
        except Exception as error:  # noqa: BLE001 - whatever stands at the database's place may answer what nobody foresaw: what is believed goes on being served
            self._supervisor.failed(STATEMENTS, error)
            self._note_problem(f"the database cannot be read: {type(error).__name__}")
        finally:
            self.is_notified = False
            if connection is not None:
                connection.terminate()
        return was_read

    async def _listen(self, connection: asyncpg.Connection) -> None:
        if self.is_notified:
            return
        try:
            await connection.add_listener(CHANNEL, self._notified)
        except asyncpg.PostgresError as error:
            _log.debug("no LISTEN here, polling alone", reason=type(error).__name__)
        else:
            self.is_notified = True

    def _notified(self, _connection: object, _pid: int, _channel: str, subject: object) -> None:
        if len(self._pending) >= MAX_NOTED_SUBJECTS:
            self._pending = {EVERYTHING}
        self._pending.add(str(subject))
        self._wake.set()

    async def _read_pending_until_next_poll(self, connection: asyncpg.Connection) -> None:
        next_poll = time.monotonic() + self._poll_interval
        while not connection.is_closed() and (left := next_poll - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._wake.wait(), min(left, HEARTBEAT_SECONDS))
            except TimeoutError:  # nothing was heard: because there is nothing, or no link any more
                await require_alive(connection)
            if not await self._read_pending(connection):
                # Whoever may notify may ask for comparisons without end: half of the time, then.
                await asyncio.sleep(max(0.0, self._rest_until - _now()))
                return

    async def _read_pending(self, connection: asyncpg.Connection) -> bool:
        """Read what was notified; tell whether that was possible without a whole comparison.

        Of what is too much for that, devices are read: a revocation does not wait for the rest.
        """
        is_too_much = len(self._pending) > MAX_PENDING_SUBJECTS or EVERYTHING in self._pending
        subjects = self._pending
        if is_too_much:
            subjects = {each for each in self._pending if each.startswith(DEVICES)}
            if len(subjects) > MAX_PENDING_SUBJECTS:
                return False
        else:
            self._wake.clear()
        self._pending = self._pending - subjects
        for batch in _batched(list(subjects), BATCH_ROWS):
            await self._read(connection, batch)
        return not is_too_much

    async def _compare_all(self, connection: asyncpg.Connection) -> None:
        """Read every subject's signature, and the rows of those that differ."""
        started, started_milliseconds = _now(), int(time.time() * 1000)
        self._pending.clear()
        present, differing = set[str](), list[str]()
        async with aclosing(signature_pages(connection)) as pages:
            async for page in pages:
                present.update(subject for subject, _ in page)
                differing += [row[0] for row in page if self._snapshot.differs(*row)]
        for batch in _batched(differing, BATCH_ROWS):
            await self._read(connection, batch)
            if self._last_read is None:  # the first load: what it makes will stay
                gc.freeze()
            await self._read_pending(connection)
        await self._read_absent(connection, present)
        self._last_read, self._rest_until = started, 2 * _now() - started
        await self._remembering.keep([], started_milliseconds)
        self.was_tried = True
        if self.problem is not None:
            self.problem = None
            _log.info("database read", count=len(present))

    async def _read_absent(self, connection: asyncpg.Connection, present: set[str]) -> None:
        """Read once more what no page had: it is gone, or was written meanwhile."""
        for some in _batched(self._snapshot.subjects(), SUBJECTS_AT_ONCE):
            for batch in _batched(self._snapshot.absent(some, present), BATCH_ROWS):
                await self._read(connection, batch)
            await asyncio.sleep(0)

    async def _read(self, connection: asyncpg.Connection, wanted: Sequence[str]) -> None:
        records = await connection.fetch(
            f"SELECT {_COLUMNS} FROM facade_statements WHERE subject = ANY($1)",  # noqa: S608 - constants
            wanted,
        )
        rows = [StatementRow(record[0], StoredStatement(*record[1:])) for record in records]
        verified, absent = await self._verify(rows), set(wanted) - {row.subject for row in rows}
        changes = list[Change]()
        try:
            changes.extend(self._snapshot.apply(candidate) for candidate in verified)
            changes.extend(self._snapshot.vanish(subject) for subject in absent)
        finally:  # what was taken in takes effect, whatever became of the rest
            await self._keep(changes)

    async def _verify(self, rows: list[StatementRow]) -> list[VerifiedRow | RefusedRow]:
        return await asyncio.to_thread(lambda: [verify_row(row, self._public_keys) for row in rows])

    async def _keep(self, changes: list[Change]) -> None:
        """Have what changed take effect, write it to the state file, and log it: in this order.

        What the log says is on disk, whenever the process is killed; unless the state folder has a
        problem, which is said.
        """
        changed = [change for change in changes if change.outcome is not Outcome.UNCHANGED]
        for change in changed:
            self._have_effect(change)
        if changed:
            await self._remembering.keep([change.subject for change in changed], None)
        for change in changed:
            _log_change(change)

    def _have_effect(self, change: Change) -> None:
        """Tell of a change; if its effect fails, the others have theirs."""
        try:
            self._on_change(change)
        except Exception as error:  # noqa: BLE001 - one connection that does not close must not keep the next revocation from cutting
            self._supervisor.failed(STATEMENTS, error)

    def _note_problem(self, problem: str) -> None:
        self.was_tried = True
        if self.problem != problem:
            _log.warning("database not read", reason=problem)
        self.problem = problem


def _now() -> float:
    """Return seconds that go on while the machine sleeps, and that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _batched(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _log_change(change: Change) -> None:
    details = {"subject": change.subject, "generation": change.generation}
    match change.outcome:
        case Outcome.ACCEPTED:
            _log.info("statement accepted", statement_type=change.statement_type, **details)
        case Outcome.REFUSED:
            _log.warning("statement refused", reason=change.reason, **details)
        case Outcome.VANISHED:
            _log.warning("statement vanished, counted as revoked", reason=change.reason, **details)
        case Outcome.UNCHANGED:
            pass
