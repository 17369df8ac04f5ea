"""An act: statements, and the audit entries that say so, stored in one transaction.

Acts follow one another: each holds the act lock from its first read to its commit. So what it read
still holds when it writes, and the audit chain has no forks. Acts of one process wait for one
another before they take a connection (`act_queue`).

No other act goes on during a round trip to the database. So an act takes four: the transaction with
the lock, all that is asked at its beginning, all changes together, the commit.
"""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

from attrs import frozen

from control_plane.clock import unix_milliseconds
from control_plane.database.one_trip import Part, RowChange, make_changes
from control_plane.errors import AuditDamagedError, ClockError
from control_plane.proof.act_queue import ActQueue
from control_plane.proof.actor import Actor, details_of, name_of
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.belief import Belief, believe
from control_plane.proof.proofs import Proofs
from control_plane.proof.questions import Questions
from control_plane.proof.signed_log import LoggedAct, NewestActs, SignedLog, entry_hash, logged_act
from control_plane.proof.signer import Verifier
from control_plane.proof.statement_store import LOCK, append_entries, lock_row, put_statements
from shared.statement import AuditEntry, Statement, StoredStatement, next_generation


@frozen
class EndedAct:
    """What an act has left in the database: the log with its entries, and what it signed."""

    log: SignedLog
    generations: Mapping[str, int]  # of its statements, by subject


class Act:
    """One act under way; all that it signs and changes is stored together when it ends."""

    def __init__(self, proofs: Proofs, chain: AuditChain, at: datetime) -> None:
        """Hold what was asked at the beginning, and the log that the audit entries will follow."""
        self.proofs = proofs
        self.at = at
        self._chain = chain
        self._end = proofs.log.end
        self._statements: list[tuple[Statement, StoredStatement]] = []
        self._entries: list[tuple[AuditEntry, StoredStatement]] = []
        self._recorded: list[LoggedAct] = []
        self._changes: list[RowChange] = []

    @property
    def sequence(self) -> int:
        """The place in the chain of the audit entry that is recorded next."""
        return self._end.sequence + 1

    @property
    def verifier(self) -> Verifier:
        """Who tells what is believed."""
        return self._chain.signer

    async def belief(self, subject: str) -> Belief:
        """Return what is believed about a subject."""
        return believe(await self.proofs.evidence(subject), self._chain.signer)

    def generation_after(self, belief: Belief) -> int:
        """Return the generation of the next statement about a belief's subject.

        Raises `ClockError` if that is more than a year ahead of the clock.
        """
        last = max(belief.highest_generation, self._chain.highest.ever(belief.subject))
        generation = next_generation(last, unix_milliseconds(self.at))
        if generation > self._chain.highest_generation():
            raise ClockError(
                "what was signed before is a year ahead of this clock; set the clock right"
            )
        return generation

    def require_level(self, value: object) -> None:
        """Raise `StatementLevelError` if readers might not understand what a statement will say."""
        self._chain.signer.require_level(value)

    def sign(
        self, statement: Statement, *, actor: Actor | str, action: str, details: Mapping[str, str]
    ) -> Belief:
        """Sign a statement, and record that it was made; return what is believed from then on.

        An act makes one statement about a subject: PostgreSQL refuses to store two.
        """
        self._statements.append((statement, self._chain.signer.sign(statement)))
        entry = self.record(
            actor=actor,
            action=action,
            about=statement.subject,
            about_generation=statement.generation,
            details=details,
        )
        return Belief(statement.subject, statement, entry, highest_generation=statement.generation)

    def record(
        self,
        *,
        actor: Actor | str,
        action: str,
        about: str,
        about_generation: int | None = None,
        details: Mapping[str, str],
    ) -> AuditEntry:
        """Append the audit entry of what was done about a subject, and return it."""
        entry = AuditEntry(
            generation=self.sequence,
            previous=self._end.hash,
            at=self.at,
            actor=name_of(actor),
            action=action,
            about=about,
            about_generation=about_generation,
            details={**details, **details_of(actor)},
        )
        stored = self._chain.signer.sign(entry)
        logged = logged_act(entry, entry_hash(stored))
        self._entries.append((entry, stored))
        self._recorded.append(logged)
        self._end = logged.place
        return entry

    def change(self, change: RowChange) -> None:
        """Make a change of other rows, together with what is signed."""
        self._changes.append(change)

    async def end(self) -> EndedAct:
        """Store everything, in one round trip; an act that did nothing stores nothing."""
        signed = [
            *([put_statements(self._statements)] if self._statements else []),
            *([append_entries(self._entries)] if self._entries else []),
        ]
        await make_changes(self.proofs.connection, [*signed, *self._changes])
        newest = NewestActs()
        for recorded in reversed(self._recorded):
            newest.add(recorded)
        return EndedAct(
            self.proofs.log.followed_by(self._end, newest),
            {statement.subject: statement.generation for statement, _ in self._statements},
        )


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
        """Yield an act; it is stored and committed unless something is raised.

        What it reads at its beginning is asked for as in `AuditChain.reading`. Raises
        `AuditDamagedError` if no entry can follow the log, `AuditUnreadError` while a start still
        reads it, `ActsWaitingError` if too many wait, and what `Database` raises.
        """
        lock = lock_row()
        questions = Questions((lock, *parts), about, entries_about)
        await self._chain.loaded()
        async with self._queue.turn():
            async with self._chain.database.transaction(LOCK) as connection:
                proofs = await self._chain.within(connection, questions)
                if not proofs.rows(lock):
                    raise AuditDamagedError(
                        "the row that acts lock is gone; the database must be restored"
                    )
                act = Act(proofs, self._chain, self._chain.clock())
                yield act
                ended = await act.end()
            self._chain.take(ended.log, ended.generations)
