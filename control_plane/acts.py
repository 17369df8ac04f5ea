"""An act: statements written and the audit entry that says so, in one transaction.

Acts follow one another: each holds the act lock from its first read to its commit, so what it
read still holds when it writes, and the audit chain has no forks.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, TypeVar

from attrs import frozen

from control_plane.belief import Belief, Evidence, HighestGenerations, believe
from control_plane.clock import Clock, unix_milliseconds
from control_plane.database import Database, DatabaseConnection
from control_plane.errors import AuditDamagedError
from control_plane.signer import Signer, Verifier
from control_plane.statement_store import (
    fetch_newest_entry,
    fetch_newest_entry_about,
    fetch_statement,
    insert_entry,
    lock_audit,
    put_statement,
)
from shared.statement import (
    AuditEntry,
    Statement,
    StatementRefusedError,
    StoredStatement,
    next_generation,
    signed_bytes,
)

AUDIT_SUBJECT: Final = "audit"  # what the highest place in the chain is remembered by
VANISHED: Final = (
    "audit entries have vanished; see `control-plane audit verify`, and restart the control plane"
    " if the database was restored on purpose"
)

_Statement = TypeVar("_Statement", bound=Statement)


@frozen
class ChainEnd:
    """Where the next audit entry goes."""

    sequence: int
    previous: str


class Act:
    """One act under way; it ends with exactly one audit entry, unless it leaves all as it was."""

    def __init__(
        self,
        connection: DatabaseConnection,
        signer: Signer,
        highest: HighestGenerations,
        at: datetime,
        place: ChainEnd,
    ) -> None:
        """Hold the transaction and the place that the audit entry will have."""
        self.connection = connection
        self.at = at
        self.entry: AuditEntry | None = None
        self.written: list[Statement] = []
        self.is_left_as_it_was = False
        self._signer = signer
        self._highest = highest
        self._place = place

    @property
    def sequence(self) -> int:
        """The place of this act's audit entry in the chain."""
        return self._place.sequence

    async def belief(self, subject: str) -> Belief:
        """Return what is believed about a subject, its row locked."""
        evidence = Evidence(
            subject=subject,
            stored=await fetch_statement(self.connection, subject, lock=True),
            newest_entry=await fetch_newest_entry_about(self.connection, subject),
            highest_seen=self._highest.of(subject),
        )
        return believe(evidence, self._signer)

    async def write_statement(
        self, belief: Belief, make: Callable[[int], _Statement]
    ) -> _Statement:
        """Sign and store what `make` says of the next generation."""
        last = max(belief.highest_generation, self._highest.ever(belief.subject))
        statement = make(next_generation(last, unix_milliseconds(self.at)))
        if statement.subject != belief.subject:
            raise AssertionError("a statement follows one of its own subject")
        await put_statement(self.connection, statement, self._signer.sign(statement))
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
            generation=self._place.sequence,
            previous=self._place.previous,
            at=self.at,
            actor=actor,
            action=action,
            about=about,
            about_generation=about_generation,
            details=dict(details),
        )
        await insert_entry(self.connection, self.entry, self._signer.sign(self.entry))


class Acts:
    """Begins acts."""

    def __init__(
        self, database: Database, signer: Signer, highest: HighestGenerations, clock: Clock
    ) -> None:
        """Hold what an act needs."""
        self._database = database
        self._signer = signer
        self._highest = highest
        self._clock = clock

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Act]:
        """Yield an act; it is committed unless something is raised.

        Raises `AuditDamagedError` where no entry can follow, and what `Database` raises.
        """
        async with self._database.transaction() as connection:
            if not await lock_audit(connection):
                message = "the row that acts lock is gone; the database must be restored"
                raise AuditDamagedError(message)
            place = next_place(
                await fetch_newest_entry(connection),
                self._signer,
                self._highest.of(AUDIT_SUBJECT),
            )
            act = Act(connection, self._signer, self._highest, self._clock(), place)
            yield act
            if (act.entry is None) != act.is_left_as_it_was or (act.written and not act.entry):
                raise AssertionError("an act ends with its audit entry")
        if act.entry is not None:
            self._highest.remember(AUDIT_SUBJECT, act.sequence)
        for statement in act.written:
            self._highest.remember(statement.subject, statement.generation)


def next_place(
    newest: tuple[int, StoredStatement] | None, signer: Signer, highest_seen: int
) -> ChainEnd:
    """Return where the next entry goes, or raise `AuditDamagedError`."""
    if newest is None:
        end = ChainEnd(1, "")
    else:
        sequence, stored = newest
        try:
            require_entry(sequence, stored, signer)
        except StatementRefusedError as error:
            message = (
                f"the newest audit entry is not believed ({error}): this is another statement key"
                " than the one that signed it, or the database was changed;"
                " see `control-plane audit verify`"
            )
            raise AuditDamagedError(message) from None
        end = ChainEnd(sequence + 1, entry_hash(stored))
    if end.sequence <= highest_seen:
        raise AuditDamagedError(VANISHED)
    return end


def require_entry(sequence: int, stored: StoredStatement, verifier: Verifier) -> AuditEntry:
    """Return the verified entry of this place, or raise `StatementRefusedError`."""
    entry = verifier.verify_as(stored, AuditEntry)
    if entry.generation != sequence:
        message = "it belongs in another place of the log"
        raise StatementRefusedError(message)
    return entry


def entry_hash(stored: StoredStatement) -> str:
    """Return what the next entry bears: the hexadecimal SHA-256 of this one's signed bytes."""
    return hashlib.sha256(signed_bytes(stored.type, stored.payload)).hexdigest()
