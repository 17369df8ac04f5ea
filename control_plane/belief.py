"""What may be believed about a subject, out of what the database holds about it. Pure.

In this order:
1. The stored statement is signed by the statement key and is about this very subject.
2. The newest audit entry about the subject that made a statement is signed, and about it too.
3. Both name the same generation: an older statement put back, a row inserted or a row deleted
   disagrees with the signed log of what was done.
4. That generation is not below the highest that this process has seen of the subject, so that
   statement and log rolled back together are noticed as long as it runs.
"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from control_plane.signer import Verifier
from shared.statement import AuditEntry, Statement, StatementRefusedError, StoredStatement

ACTED: Final = "its newest act is not in the audit log as it was signed"


@frozen
class Evidence:
    """What the database holds about a subject, and what this process remembers of it."""

    subject: str
    stored: StoredStatement | None
    newest_entry: StoredStatement | None  # of those about the subject that name a generation
    highest_seen: int = 0


@frozen
class Belief:
    """The newest statement, if it is believed; or why it is not."""

    subject: str
    statement: Statement | None = None
    entry: AuditEntry | None = None  # of the act that made the statement
    problem: str | None = None
    highest_generation: int = 0  # a new statement's is above this


class HighestGenerations:
    """The highest generation of each subject that this process has verified.

    `before` is what processes before it had seen, and is believed about nothing: a database that
    was restored on purpose is older than that. It serves to say so, and to go on above it.
    """

    def __init__(self, before: Mapping[str, int] | None = None) -> None:
        """Remember nothing yet."""
        self._highest: dict[str, int] = {}  # one entry for each connection, operator and device
        self._before = before or {}
        self._changed = set[str]()  # of what was ever seen, since `take_changes`

    def of(self, subject: str) -> int:
        """Return the highest, or 0."""
        return self._highest.get(subject, 0)

    def ever(self, subject: str) -> int:
        """Return the highest that this process or one before it has seen, or 0."""
        return max(self.of(subject), self._before.get(subject, 0))

    def everything(self) -> dict[str, int]:
        """Return the highest that was ever seen, by subject."""
        return {each: self.ever(each) for each in self._highest.keys() | self._before.keys()}

    def copy(self) -> "HighestGenerations":
        """Return what is remembered now."""
        other = HighestGenerations(self._before)
        other._highest = self._highest.copy()
        return other

    def take_changes(self) -> dict[str, int]:
        """Return what is higher than ever before, since it was asked for the last time."""
        changed, self._changed = self._changed, set()
        return {each: self.ever(each) for each in changed}

    def remember(self, subject: str, generation: int) -> None:
        """Take note of a verified generation."""
        if generation <= 0:
            return  # nothing was seen: a name that somebody made up leaves nothing behind
        if generation > self.ever(subject):
            self._changed.add(subject)
        self._highest[subject] = max(generation, self.of(subject))


def believe(evidence: Evidence, verifier: Verifier) -> Belief:
    """Return what the evidence proves."""
    statement = entry = problem = None
    try:
        entry = _verified_entry(evidence, verifier)
        statement = _verified_statement(evidence, verifier)
        _require_agreement(statement, entry, evidence.highest_seen)
    except StatementRefusedError as error:
        problem = str(error)
    audited = (entry.about_generation or 0) if entry else 0
    return Belief(
        subject=evidence.subject,
        statement=None if problem else statement,
        entry=entry,
        problem=problem,
        highest_generation=max(
            audited, statement.generation if statement else 0, evidence.highest_seen
        ),
    )


def _verified_statement(evidence: Evidence, verifier: Verifier) -> Statement | None:
    if evidence.stored is None:
        return None
    try:
        statement = verifier.verify(evidence.stored)
    except StatementRefusedError as error:
        message = f"its statement is not believed: {error}"
        raise StatementRefusedError(message) from None
    if statement.subject != evidence.subject:
        message = "its statement is about another subject"
        raise StatementRefusedError(message)
    return statement


def _verified_entry(evidence: Evidence, verifier: Verifier) -> AuditEntry | None:
    if evidence.newest_entry is None:
        return None
    try:
        entry = verifier.verify_as(evidence.newest_entry, AuditEntry)
    except StatementRefusedError:
        raise StatementRefusedError(ACTED) from None
    if entry.about != evidence.subject or entry.about_generation is None:
        raise StatementRefusedError(ACTED)
    return entry


def _require_agreement(
    statement: Statement | None, entry: AuditEntry | None, highest_seen: int
) -> None:
    generation = statement.generation if statement else 0
    audited = (entry.about_generation or 0) if entry else 0
    if generation > audited:
        raise StatementRefusedError(ACTED)
    if statement is None and max(audited, highest_seen):
        message = "its statement has vanished from the database"
        raise StatementRefusedError(message)
    if generation < max(audited, highest_seen):
        message = "an older statement was put back in the database"
        raise StatementRefusedError(message)
