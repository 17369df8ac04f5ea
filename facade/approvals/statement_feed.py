"""Keeps the snapshot fresh: LISTEN/NOTIFY names the subject that changed, and a poll makes sure.

There is one connection to Postgres, used by one task, so that rows are applied in the order in
which they were read. If LISTEN is refused (by a standby), or leads nowhere (through a transaction
pooler), the poll does it alone. The poll compares signatures, and reads only the rows that differ.
What is notified meanwhile is read in between.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final, TypeVar

import asyncpg
from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from facade.approvals.comparison import compared
from facade.approvals.database import (
    DATABASE_FAILURES,
    HEARTBEAT_SECONDS,
    QUERY_TIMEOUT_SECONDS,
    connect_database,
    require_alive,
    unreadable,
)
from facade.approvals.feed_state import FeedMachine, FeedState
from facade.approvals.login_rights import excess_rights
from facade.approvals.notifications import Notifications
from facade.approvals.refusal_lines import RefusalLines
from facade.approvals.remembering import Remembering
from facade.approvals.restoring import Restoring
from facade.approvals.row_intake import OnChange, RowIntake
from facade.approvals.snapshot import Snapshot
from facade.approvals.statement_rows import BATCH_ROWS, found_rows
from shared.jitter import jittered
from shared.postgres.connection_parameters import ConnectionParameters
from shared.structured_log import get_logger
from shared.supervised import Supervisor

STATEMENTS: Final = "statements"  # the names of this work, for whoever supervises it
VERIFICATION: Final = "verification"
MIN_RETRY_SECONDS: Final = 0.2
MAX_RETRY_SECONDS: Final = 5.0
LATE_POLLS: Final = 2  # after a comparison the next one waits, for as long as that took
LATE_SECONDS: Final = QUERY_TIMEOUT_SECONDS  # a query that takes longer fails, and that is said
MAX_COMPARISON_SECONDS: Final = 1800.0  # a million rows at the first start take a few minutes
SUBJECTS_AT_ONCE: Final = 10_000  # looked through in about 1 ms
DEAF_POLL_SECONDS: Final = 1.0  # between comparisons while nobody listens

_log = get_logger("facade.statement_feed")

_Item = TypeVar("_Item")


def _now() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, and that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@define(eq=False)
class StatementFeed:
    """Reads the facade's view into the snapshot and into the state file."""

    _database: ConnectionParameters
    _public_keys: Mapping[str, Ed25519PublicKey]
    _snapshot: Snapshot
    _remembering: Remembering
    _poll_interval: float
    _on_change: OnChange
    _supervisor: Supervisor = field(factory=Supervisor)
    _clock: Callable[[], float] = _now  # seconds; as `_now` counts
    _notifications: Notifications = field(init=False)
    _refusal_lines: RefusalLines = field(init=False)
    _restoring: Restoring = field(init=False)
    _intake: RowIntake = field(init=False)
    _last_read: float | None = field(default=None, init=False)  # as `_now` counts
    _rest_until: float = field(default=0.0, init=False)  # as `_now` counts
    excess_rights: str | None = field(default=None, init=False)  # of the login, in words
    _machine: FeedMachine = field(factory=FeedMachine, init=False)

    @_notifications.default
    def _by_the_same_clock(self) -> Notifications:
        return Notifications(self._clock)

    @_refusal_lines.default
    def _lines_by_the_same_clock(self) -> RefusalLines:
        return RefusalLines(self._clock)

    @_restoring.default
    def _from_the_state_folder(self) -> Restoring:
        return Restoring(self._remembering, self._snapshot, self._public_keys, self._refusal_lines)

    @_intake.default
    def _from_the_database(self) -> RowIntake:
        return RowIntake(
            self._public_keys,
            self._snapshot,
            self._remembering,
            self._refusal_lines,
            self._on_change,
            partial(self._supervisor.failed, STATEMENTS),
        )

    @property
    def state(self) -> FeedState:
        """How far the database has been read."""
        return self._machine.state

    @property
    def problem(self) -> str | None:
        """Why the database is not followed, in words; None while it is."""
        return self._machine.problem

    @property
    def is_flooded(self) -> bool:
        """Whether nobody listens, because there were too many notifications."""
        return self._notifications.is_flooded

    @property
    def is_notified(self) -> bool:
        """Whether LISTEN was accepted."""
        return self._notifications.is_listening

    def age_seconds(self) -> float | None:
        """Return how long ago the database was last read whole; None if it never was."""
        return None if self._last_read is None else max(0.0, self._clock() - self._last_read)

    def lateness(self) -> str | None:
        """Return in words that the next comparison is overdue although nothing failed; None if not.

        A thread, a disk or a table takes too long, and a NOTIFY may have been lost meanwhile,
        perhaps that of a revocation.
        """
        age, interval = self.age_seconds(), self._poll_interval
        is_followed = self.state is FeedState.FOLLOWING
        if not is_followed or age is None or age <= LATE_POLLS * interval + LATE_SECONDS:
            return None
        return (
            f"the database was last compared {int(age)} s ago, and should be every {interval:g} s"
        )

    @property
    def state_problem(self) -> str | None:
        """Why a restart would know less than what is served now, or None."""
        return self._remembering.problem

    def look_again(self) -> None:
        """Compare everything soon: with other keys, more may be believed."""
        self._notifications.note()

    async def restore(self) -> None:
        """Take in what the state folder remembers, before the database is asked.

        What can wait is verified by `verify_rest`, or for the first device that asks for it.
        """
        await self._restoring.restore()
        age = await self._remembering.age_seconds()
        if age is not None:
            self._last_read = self._clock() - age
        self._machine.restored()

    async def verify_rest(self) -> None:
        """Verify what the state folder remembers and no device has asked for, until that is done.

        What does not verify is read from the database soon.
        """
        await self._restoring.verify_rest(self._notifications.note)

    async def run(self) -> None:
        """Follow the database until cancelled. Every failure is logged, and then it tries again."""
        delay = MIN_RETRY_SECONDS
        while True:
            if await self._follow():
                delay = MIN_RETRY_SECONDS
            await asyncio.sleep(jittered(delay))
            delay = min(delay * 2, MAX_RETRY_SECONDS)

    async def _follow(self) -> bool:
        """Follow one connection to its end. Tell whether the database was read through it."""
        connection: asyncpg.Connection | None = None
        was_read = False
        try:
            connection = await connect_database(self._database)
            self._notifications.follow(connection)
            while not connection.is_closed():
                # Each time, because a standby may have been promoted.
                await self._notifications.listen(connection)
                async with asyncio.timeout(MAX_COMPARISON_SECONDS):
                    await self._compare_all(connection)
                if not was_read:
                    self.excess_rights = await excess_rights(connection)
                was_read = True
                await self._read_pending_until_next_poll(connection)
            self._note_problem("the database closed the connection")
        except DATABASE_FAILURES as error:
            self._note_problem(unreadable(error))
        except Exception as error:  # noqa: BLE001 - whatever stands at the database's place may answer what nobody foresaw: what is believed goes on being served
            self._supervisor.failed(STATEMENTS, error)
            self._note_problem(unreadable(error))
        finally:
            self._notifications.forget_connection()
            if connection is not None:
                connection.terminate()
        return was_read

    async def _read_pending_until_next_poll(self, connection: asyncpg.Connection) -> None:
        next_poll = time.monotonic() + self._poll_interval
        while not connection.is_closed() and (left := next_poll - time.monotonic()) > 0:
            if self.is_flooded:
                await self._notifications.listen(connection)
                rest = self._rest_until - self._clock()  # half of the time at most, here, too
                await asyncio.sleep(min(self._poll_interval, max(DEAF_POLL_SECONDS, rest)))
                return
            if not await self._notifications.come_within(min(left, HEARTBEAT_SECONDS)):
                await require_alive(connection)  # nothing was notified, or the connection is gone
            if not await self._read_pending(connection):
                # Whoever may notify may cause comparisons without end, so they take half of the
                # time at most.
                await asyncio.sleep(max(0.0, self._rest_until - self._clock()))
                return

    async def _read_pending(self, connection: asyncpg.Connection) -> bool:
        """Read what was notified; tell whether that was possible without a whole comparison.

        If there is too much, the devices are read, so that a revocation does not wait for the rest.
        """
        is_too_much = self._notifications.is_too_much
        subjects = self._notifications.take()
        if subjects is None:
            return False
        for batch in _batched(subjects, BATCH_ROWS):
            await self._read(connection, batch)
        return not is_too_much

    async def _compare_all(self, connection: asyncpg.Connection) -> None:
        """Read every subject's signature, and the rows of those that differ."""
        started, started_milliseconds = self._clock(), int(time.time() * 1000)
        self._notifications.clear()
        self._snapshot.refused_rows.begin_comparison()
        still_differing = 0
        while True:
            part = await compared(connection, self._snapshot.remembered, still_differing)
            for batch in _batched(part.differing, BATCH_ROWS):
                await self._read(connection, [subject for subject, _ in batch])
                still_differing += sum(self._snapshot.remembered.differs(*row) for row in batch)
                if self._last_read is None:  # the first load: its objects will stay
                    gc.freeze()
                await self._read_pending(connection)
            if part.is_whole:
                break
        self._snapshot.refused_rows.end_comparison(part.nameless)
        await self._read_absent(connection, part.present)
        self._last_read, self._rest_until = started, 2 * self._clock() - started
        await self._remembering.keep([], started_milliseconds)
        if self._machine.read():
            _log.info("database read", count=part.rows)
        if untold := self._refusal_lines.take_untold():
            _log.warning("more statements refused", count=untold)

    async def _read_absent(self, connection: asyncpg.Connection, present: set[str]) -> None:
        """Read again what was on no page: it is gone, or was written meanwhile."""
        for some in _batched(self._snapshot.remembered.subjects(), SUBJECTS_AT_ONCE):
            for batch in _batched(self._snapshot.remembered.absent(some, present), BATCH_ROWS):
                await self._read(connection, batch)
            await asyncio.sleep(0)

    async def _read(self, connection: asyncpg.Connection, wanted: Sequence[str]) -> None:
        async with aclosing(found_rows(connection, wanted)) as batches:
            async for found in batches:
                await self._intake.take_in(found)

    def _note_problem(self, problem: str) -> None:
        if self._machine.failed(problem):
            _log.warning("database not read", reason=problem)


def _batched(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
