"""Keeps the snapshot fresh: LISTEN/NOTIFY names the subject that changed, a poll stands behind it.

One connection to Postgres, used by one task, so that what is read is applied in the order in
which it was read. Where LISTEN is refused (a standby, a transaction pooler) the poll alone does
it. The poll compares signatures and reads only the rows that differ.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import asyncpg
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from facade.snapshot import (
    Change,
    Outcome,
    RefusedRow,
    Remembered,
    Snapshot,
    StatementRow,
    VerifiedRow,
    verify_row,
)
from facade.state_file import StateFile
from shared.jitter import jittered
from shared.secret import Secret
from shared.statement import StoredStatement
from shared.structured_log import get_logger

CHANNEL: Final = "registry_statements"
CONNECT_TIMEOUT_SECONDS: Final = 5.0
QUERY_TIMEOUT_SECONDS: Final = 10.0  # a stopped Postgres answers nothing; then connect anew
BATCH_ROWS: Final = 200  # one batch verifies in about 50 ms of a thread
MIN_RETRY_SECONDS: Final = 0.2
MAX_RETRY_SECONDS: Final = 5.0
MAX_PENDING_SUBJECTS: Final = 1000  # above that, one whole comparison is cheaper

# ValueError: a host that no resolver takes. InternalClientError: what answers is no PostgreSQL.
_FAILURES: Final = (
    OSError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_COLUMNS: Final = "subject, type, key_id, payload, signature"
_log = get_logger("facade.statement_feed")

OnChange = Callable[[Change], None]
_Item = TypeVar("_Item")


@define(eq=False)
class StatementFeed:
    """Reads the facade's view into the snapshot and the state file."""

    _database_url: Secret
    _public_keys: Mapping[str, Ed25519PublicKey]
    _snapshot: Snapshot
    _state_file: StateFile
    _poll_interval: float
    _on_change: OnChange
    _pending: set[str] = field(factory=set, init=False)
    _wake: asyncio.Event = field(factory=asyncio.Event, init=False)
    _last_read: float | None = field(default=None, init=False)  # on the monotonic clock
    problem: str | None = field(default="the database was not read yet", init=False)

    def age_seconds(self) -> float | None:
        """Return how long ago the database was last read whole; None where it never was."""
        return None if self._last_read is None else max(0.0, time.monotonic() - self._last_read)

    async def restore(self) -> None:
        """Take in what the state folder remembers, before the database is asked."""
        rows = await asyncio.to_thread(lambda: list(self._state_file.rows()))
        for batch in _batched(rows):
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
        read_at = await asyncio.to_thread(self._state_file.last_read_milliseconds)
        if read_at is not None:
            self._last_read = time.monotonic() - max(0.0, time.time() - read_at / 1000)

    async def run(self) -> None:
        """Follow the database until cancelled; every failure is logged and tried again."""
        delay = MIN_RETRY_SECONDS
        while True:
            try:
                connection = await self._connect()
            except _FAILURES as error:
                self._note_failure(error)
            else:
                delay = MIN_RETRY_SECONDS
                await self._follow(connection)
            await asyncio.sleep(jittered(delay))
            delay = min(delay * 2, MAX_RETRY_SECONDS)

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            self._database_url.reveal_text(),
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=QUERY_TIMEOUT_SECONDS,
            statement_cache_size=0,  # a transaction pooler has no prepared statements
        )

    async def _follow(self, connection: asyncpg.Connection) -> None:
        try:
            connection.add_termination_listener(lambda _: self._wake.set())
            await self._listen(connection)
            while not connection.is_closed():
                self._pending.clear()
                await self._compare_all(connection)
                await self._read_pending_until_next_poll(connection)
        except _FAILURES as error:
            self._note_failure(error)
        finally:
            connection.terminate()

    async def _listen(self, connection: asyncpg.Connection) -> None:
        try:
            await connection.add_listener(CHANNEL, self._notified)
        except asyncpg.PostgresError as error:
            _log.warning("no LISTEN here, polling alone", reason=type(error).__name__)

    def _notified(self, _connection: object, _pid: int, _channel: str, subject: object) -> None:
        self._pending.add(str(subject))
        self._wake.set()

    async def _read_pending_until_next_poll(self, connection: asyncpg.Connection) -> None:
        next_poll = time.monotonic() + self._poll_interval
        while not connection.is_closed() and (left := next_poll - time.monotonic()) > 0:
            with suppress(TimeoutError):  # the time of the poll has come
                await asyncio.wait_for(self._wake.wait(), left)
            self._wake.clear()
            if len(self._pending) > MAX_PENDING_SUBJECTS or "" in self._pending:
                return
            subjects, self._pending = self._pending, set()
            if subjects:
                await self._read(connection, subjects)

    async def _compare_all(self, connection: asyncpg.Connection) -> None:
        """Read every subject's signature, and the rows of those that differ."""
        rows = await connection.fetch("SELECT subject, signature FROM facade_statements")
        known = self._snapshot.signatures()
        present = {row["subject"] for row in rows}
        differing = [
            row["subject"] for row in rows if known.get(row["subject"]) != row["signature"]
        ]
        await self._keep(self._snapshot.withdraw_vanished(present))
        for batch in _batched(differing):
            await self._read(connection, batch)
        self._last_read = time.monotonic()
        await self._save([], int(time.time() * 1000))
        if self.problem is not None:
            self.problem = None
            _log.info("database read", count=len(rows))

    async def _read(self, connection: asyncpg.Connection, subjects: Iterable[str]) -> None:
        wanted = list(subjects)
        records = await connection.fetch(
            f"SELECT {_COLUMNS} FROM facade_statements WHERE subject = ANY($1)",  # noqa: S608 - constants
            wanted,
        )
        rows = [StatementRow(record[0], StoredStatement(*record[1:])) for record in records]
        changes = [self._snapshot.apply(candidate) for candidate in await self._verify(rows)]
        absent = set(wanted) - {row.subject for row in rows}
        await self._keep(changes + [self._snapshot.vanish(subject) for subject in absent])

    async def _verify(self, rows: list[StatementRow]) -> list[VerifiedRow | RefusedRow]:
        return await asyncio.to_thread(lambda: [verify_row(row, self._public_keys) for row in rows])

    async def _keep(self, changes: list[Change]) -> None:
        """Have what changed take effect, write it to the state file, and log it: in this order.

        What the log says is on disk, whenever the process is killed.
        """
        changed = [change for change in changes if change.outcome is not Outcome.UNCHANGED]
        for change in changed:
            self._on_change(change)
        remembered = {
            change.subject: self._snapshot.remembered(change.subject) for change in changed
        }
        to_save = [(subject, known) for subject, known in remembered.items() if known is not None]
        if to_save:
            await self._save(to_save, None)
        for change in changed:
            _log_change(change)

    async def _save(self, changed: list[tuple[str, Remembered]], read_at: int | None) -> None:
        try:
            await asyncio.to_thread(self._state_file.save, changed, read_at)
        except sqlite3.Error as error:
            # What holds is served from memory; a restart would stand on the older state.
            _log.error("state file not written", reason=type(error).__name__)

    def _note_failure(self, error: Exception) -> None:
        problem = f"the database cannot be read: {type(error).__name__}"
        if self.problem != problem:
            _log.warning("database not read", reason=type(error).__name__)
        self.problem = problem


def _batched(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    return (items[start : start + BATCH_ROWS] for start in range(0, len(items), BATCH_ROWS))


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
