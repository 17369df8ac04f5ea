"""An act: statements written and the audit entry that says so, in one transaction.

Acts follow one another: each holds the act lock from its first read to its commit, so what it
read still holds when it writes, and the audit chain has no forks. Those of one process wait for
one another before they take a connection (`act_queue`).

Each round trip to the database is time in which no other act is made. So an act takes four: the
transaction and the lock, all that is asked at its beginning, all changes together, the commit.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar

from attrs import evolve

from control_plane.clock import unix_milliseconds
from control_plane.database.one_trip import Part, RowChange, make_changes
from control_plane.errors import AuditDamagedError, ClockError
from control_plane.proof.act_queue import ActQueue
from control_plane.proof.actions import REVISION_ACTIONS
from control_plane.proof.asked import Asked
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.belief import Belief, LoggedEntry, believe
from control_plane.proof.proofs import Proofs
from control_plane.proof.signed_log import (
    LoggedAct,
    NewestActs,
    Place,
    SignedLog,
    entry_hash,
    logged_act,
)
from control_plane.proof.signer import Verifier
from control_plane.proof.statement_store import LOCK, append_entries, lock_row, put_statements
from control_plane.proof.stored_connection import StoredConnection
from shared.statement import AuditEntry, Statement, StoredStatement, next_generation

_Statement = TypeVar("_Statement", bound=Statement)


class Act:
    """One act under way; each statement has its audit entry, unless all is left as it was."""

    def __init__(self, proofs: Proofs, chain: AuditChain, at: datetime) -> None:
        """Hold what was asked at the beginning, and the log that the audit entry will follow."""
        self.proofs = proofs
        self.at = at
        self.is_left_as_it_was = False
        self.entries: list[tuple[AuditEntry, StoredStatement]] = []
        self.written: list[tuple[Statement, StoredStatement]] = []
        self._changes: list[RowChange] = []
        self._recorded: list[LoggedAct] = []
        self._chain = chain

    @property
    def log(self) -> SignedLog:
        """The log with this act's entries, as far as they are recorded."""
        newest = NewestActs()
        for recorded in reversed(self._recorded):
            newest.add(recorded)
        return self.proofs.log.followed_by(self._end, newest)

    @property
    def _end(self) -> Place:
        return self._recorded[-1].place if self._recorded else self.proofs.log.end

    @property
    def sequence(self) -> int:
        """The place of this act's audit entry in the chain, which is about to be recorded."""
        return self._end.sequence + 1

    @property
    def verifier(self) -> Verifier:
        """Who tells what is believed."""
        return self._chain.signer

    async def belief(self, subject: str) -> Belief:
        """Return what is believed about a subject."""
        return believe(await self.proofs.evidence(subject), self._chain.signer)

    def write_statement(self, belief: Belief, make: Callable[[int], _Statement]) -> _Statement:
        """Sign what `make` says of the next generation; it is stored when the act ends.

        Raises `ClockError` if that is more than a year ahead of the clock.
        """
        last = max(belief.highest_generation, self._chain.highest.ever(belief.subject))
        generation = next_generation(last, unix_milliseconds(self.at))
        if generation > self._chain.highest_generation():
            raise ClockError(
                "what was signed before is a year ahead of this clock; set the clock right"
            )
        statement = make(generation)
        if statement.subject != belief.subject:
            raise AssertionError("a statement follows one of its own subject")
        self.written.append((statement, self._chain.signer.sign(statement)))
        return statement

    def change(self, change: RowChange) -> None:
        """Make a change of other rows when the act ends, together with what was signed."""
        self._changes.append(change)

    def leave_as_it_was(self) -> None:
        """End the act without a statement or an audit entry: nothing had to be changed."""
        self.is_left_as_it_was = True

    def record(
        self,
        *,
        actor: str,
        action: str,
        about: str,
        about_generation: int | None = None,
        details: Mapping[str, str],
    ) -> None:
        """Append the audit entry of what was done about a subject."""
        entry = AuditEntry(
            generation=self.sequence,
            previous=self._end.hash,
            at=self.at,
            actor=actor,
            action=action,
            about=about,
            about_generation=about_generation,
            details=dict(details),
        )
        stored = self._chain.signer.sign(entry)
        self.entries.append((entry, stored))
        self._recorded.append(logged_act(entry, entry_hash(stored)))

    def after(self, stored: StoredConnection) -> StoredConnection:
        """Return a connection with what the act has signed about it."""
        (entry, envelope), evidence, newest = self.entries[-1], stored.evidence, stored.newest
        if entry.action in REVISION_ACTIONS:
            newest = LoggedEntry(None, envelope)
        if self.written:
            _, statement = self.written[-1]
            made = LoggedEntry(entry.about_generation, envelope)
            evidence = evolve(evidence, stored=statement, made=made)
        return evolve(stored, evidence=evidence, newest=newest)

    async def end(self) -> None:
        """Store everything, in one round trip."""
        recorded = [entry.about for entry, _ in self.entries if entry.about_generation is not None]
        is_told = recorded == [statement.subject for statement, _ in self.written]
        if bool(self.entries) == self.is_left_as_it_was or not is_told:
            raise AssertionError("an act ends with its audit entry")
        if len(set(recorded)) < len(recorded):
            raise AssertionError("an act makes one statement about a subject")
        signed = [
            *([put_statements(self.written)] if self.written else []),
            *([append_entries(self.entries)] if self.entries else []),
        ]
        await make_changes(self.proofs.connection, [*signed, *self._changes])


class Acts:
    """Begins acts."""

    def __init__(self, chain: AuditChain, queue: ActQueue | None = None) -> None:
        """Hold the log that acts follow, and where they wait for one another."""
        self._chain = chain
        self._queue = queue or ActQueue()

    @asynccontextmanager
    async def begin(
        self, *parts: Part, about: Collection[str] = (), entries_about: Collection[str] = ()
    ) -> AsyncIterator[Act]:
        """Yield an act; it is committed unless something is raised.

        What it knows at its beginning is asked as in `AuditChain.reading`. Raises
        `AuditDamagedError` where no entry can follow, `AuditUnreadError` while a start still reads
        the log, `ActsWaitingError` where too many wait, and what `Database` raises.
        """
        lock = lock_row()
        asked = Asked((lock, *parts), about, entries_about)
        await self._chain.loaded()
        async with self._queue.turn():
            async with self._chain.database.transaction(LOCK) as connection:
                proofs = await self._chain.within(connection, asked)
                if not proofs.rows(lock):
                    raise AuditDamagedError(
                        "the row that acts lock is gone; the database must be restored"
                    )
                act = Act(proofs, self._chain, self._chain.clock())
                yield act
                await act.end()
            written = {each.subject: each.generation for each, _ in act.written}
            self._chain.take(act.log, written)
