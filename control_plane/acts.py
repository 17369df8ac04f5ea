"""An act: statements written and the audit entry that says so, in one transaction.

Acts follow one another: each holds the act lock from its first read to its commit, so what it
read still holds when it writes, and the audit chain has no forks.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from control_plane.audit_chain import AuditChain
from control_plane.belief import Belief, believe
from control_plane.clock import unix_milliseconds
from control_plane.database import DatabaseConnection
from control_plane.errors import AuditDamagedError, ClockError
from control_plane.proofs import Proofs
from control_plane.serving_places import require_free_place
from control_plane.signed_log import SignedLog
from control_plane.statement_store import insert_entry, lock_audit, put_statement
from shared.connection import ConnectionDocument
from shared.statement import AuditEntry, Statement, next_generation

_Statement = TypeVar("_Statement", bound=Statement)


class Act:
    """One act under way; it ends with exactly one audit entry, unless it leaves all as it was."""

    def __init__(
        self, connection: DatabaseConnection, chain: AuditChain, at: datetime, log: SignedLog
    ) -> None:
        """Hold the transaction, and the log that the audit entry will follow."""
        self.connection = connection
        self.at = at
        self.log = log  # with this act's entry, once there is one
        self.entry: AuditEntry | None = None
        self.written: list[Statement] = []
        self.is_left_as_it_was = False
        self._chain = chain

    @property
    def sequence(self) -> int:
        """The place of this act's audit entry in the chain."""
        return self.entry.generation if self.entry else self.log.end.sequence + 1

    @property
    def proofs(self) -> Proofs:
        """What proves something, as the act sees the database."""
        return self._chain.proofs(self.connection, self.log)

    async def belief(self, subject: str) -> Belief:
        """Return what is believed about a subject, its row locked."""
        return believe(await self.proofs.evidence(subject, lock=True), self._chain.signer)

    async def require_free_place(self, connection_id: UUID, document: ConnectionDocument) -> None:
        """Raise `ConflictError` if another connection than this one is approved for the place."""
        await require_free_place(self.proofs, document, connection_id, self._chain.signer)

    async def write_statement(
        self, belief: Belief, make: Callable[[int], _Statement]
    ) -> _Statement:
        """Sign and store what `make` says of the next generation.

        Raises `ClockError` if that is more than a year ahead of the clock.
        """
        last = max(belief.highest_generation, self._chain.highest.ever(belief.subject))
        generation = next_generation(last, unix_milliseconds(self.at))
        if generation > self._chain.highest_generation():
            message = "what was signed before is a year ahead of this clock; set the clock right"
            raise ClockError(message)
        statement = make(generation)
        if statement.subject != belief.subject:
            raise AssertionError("a statement follows one of its own subject")
        await put_statement(self.connection, statement, self._chain.signer.sign(statement))
        self.written.append(statement)
        return statement

    def leave_as_it_was(self) -> None:
        """Say that what was asked for is so already: no statement, and no audit entry."""
        self.is_left_as_it_was = True

    async def record(
        self,
        *,
        actor: str,
        action: str,
        about: str,
        about_generation: int | None = None,
        details: Mapping[str, str],
    ) -> None:
        """Append the act's audit entry."""
        if self.entry is not None:
            raise AssertionError("an act has one audit entry")
        self.entry = AuditEntry(
            generation=self.sequence,
            previous=self.log.end.hash,
            at=self.at,
            actor=actor,
            action=action,
            about=about,
            about_generation=about_generation,
            details=dict(details),
        )
        stored = self._chain.signer.sign(self.entry)
        await insert_entry(self.connection, self.entry, stored)
        self.log = self.log.with_entry(self.entry, stored)


class Acts:
    """Begins acts."""

    def __init__(self, chain: AuditChain) -> None:
        """Hold the log that acts follow."""
        self._chain = chain

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Act]:
        """Yield an act; it is committed unless something is raised.

        Raises `AuditDamagedError` where no entry can follow, `AuditUnreadError` while a start still
        reads the log, and what `Database` raises.
        """
        known = await self._chain.loaded()
        async with self._chain.database.transaction() as connection:
            if not await lock_audit(connection):
                message = "the row that acts lock is gone; the database must be restored"
                raise AuditDamagedError(message)
            log = await self._chain.follow(connection, known)
            act = Act(connection, self._chain, self._chain.clock(), log)
            yield act
            if (act.entry is None) != act.is_left_as_it_was or (act.written and not act.entry):
                raise AssertionError("an act ends with its audit entry")
        self._chain.take(act.log, {each.subject: each.generation for each in act.written})
