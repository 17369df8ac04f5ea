"""What may be believed about a subject, given what the database holds about it. Pure.

In this order:
1. The signed log (`signed_log`) says which act was the last to make a statement about the subject.
   The database has that act's entry as it was signed, by a key that is believed.
2. The stored statement is signed by the statement key and is about this very subject.
3. Both name the same generation. A statement that was put back, inserted or deleted does not agree
   with the signed log.
4. That generation is at most a year ahead of the clock (`shared.generation_bound`).

The columns beside a payload play no part: the chain alone says which entry is the newest.
"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from control_plane.proof.signer import Verifier
from shared.statement import (
    MAX_GENERATION,
    AuditEntry,
    Statement,
    StatementRefusedError,
    StoredStatement,
    UnknownKeyError,
)

ACTED: Final = "its newest act is not in the audit log as it was signed"
TOO_FAR_AHEAD: Final = "its statement is of a time more than a year ahead of this clock"


@frozen
class LoggedEntry:
    """An act of the signed log, and its entry if the database has that as it was signed."""

    generation: int | None  # of the statement that the act made, if it made one
    entry: StoredStatement | None


@frozen
class Evidence:
    """What the database and the signed log hold about a subject."""

    subject: str
    stored: StoredStatement | None
    made: LoggedEntry | None  # the newest act that made a statement about it
    highest_generation: int = MAX_GENERATION  # nothing above it is believed


@frozen
class Belief:
    """The newest statement, or why it is not believed."""

    subject: str
    statement: Statement | None = None
    entry: AuditEntry | None = None  # of the act that made the statement
    problem: str | None = None
    highest_generation: int = 0  # the next statement's is higher


class HighestGenerations:
    """The highest generation of each subject that this process, or one before it, has seen.

    Nothing is believed because of it: a database that was restored on purpose is older. It serves
    to notice that, and to give the next statements higher generations.
    """

    def __init__(self, before: Mapping[str, int] | None = None) -> None:
        """Begin with what earlier processes have seen."""
        self._highest = dict(before or {})  # one entry for each connection, operator and device
        self._changed = set[str]()  # since `take_changes`

    def ever(self, subject: str) -> int:
        """Return the highest that was ever seen, or 0."""
        return self._highest.get(subject, 0)

    def everything(self) -> dict[str, int]:
        """Return the highest that was ever seen, by subject."""
        return self._highest.copy()

    def take_changes(self) -> dict[str, int]:
        """Return what has become higher since the last call."""
        changed, self._changed = self._changed, set()
        return {each: self.ever(each) for each in changed}

    def remember(self, subject: str, generation: int) -> None:
        """Note a generation of the signed log."""
        if generation > self.ever(subject):
            self._highest[subject] = generation
            self._changed.add(subject)


def believe(evidence: Evidence, verifier: Verifier) -> Belief:
    """Return what the evidence proves."""
    statement = entry = problem = None
    try:
        entry = _verified_entry(evidence, verifier)
        statement = _verified_statement(evidence, verifier)
        _require_agreement(statement, evidence)
    except StatementRefusedError as error:
        problem = str(error)
    generations = (_logged(evidence), statement.generation if statement else 0)
    return Belief(
        subject=evidence.subject,
        statement=None if problem else statement,
        entry=entry,
        problem=problem,
        highest_generation=max(
            each for each in (0, *generations) if each <= evidence.highest_generation
        ),
    )


def _logged(evidence: Evidence) -> int:
    return (evidence.made.generation or 0) if evidence.made else 0


def _verified_statement(evidence: Evidence, verifier: Verifier) -> Statement | None:
    if evidence.stored is None:
        return None
    try:
        statement = verifier.verify(evidence.stored)
    except StatementRefusedError as error:
        raise StatementRefusedError(f"its statement is not believed: {error}") from None
    if statement.subject != evidence.subject:
        raise StatementRefusedError("its statement is about another subject")
    return statement


def _verified_entry(evidence: Evidence, verifier: Verifier) -> AuditEntry | None:
    if evidence.made is None:
        return None
    if evidence.made.entry is None:
        raise StatementRefusedError(ACTED)
    try:
        entry = verifier.verify_as(evidence.made.entry, AuditEntry)
    except UnknownKeyError as error:
        raise StatementRefusedError(f"its newest act is not believed: {error}") from None
    except StatementRefusedError:
        raise StatementRefusedError(ACTED) from None
    if (entry.about, entry.about_generation) != (evidence.subject, evidence.made.generation):
        raise StatementRefusedError(ACTED)
    return entry


def _require_agreement(statement: Statement | None, evidence: Evidence) -> None:
    generation, logged = statement.generation if statement else 0, _logged(evidence)
    if generation > logged:
        raise StatementRefusedError(ACTED)
    if statement is None and logged:
        raise StatementRefusedError("its statement has vanished from the database")
    if generation < logged:
        raise StatementRefusedError("an older statement was put back in the database")
    if generation > evidence.highest_generation:
        raise StatementRefusedError(TOO_FAR_AHEAD)
