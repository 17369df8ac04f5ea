"""A connection's revisions: the state machine, and what of a stored one may be believed. Pure.

A connection has at most one approved revision, which serves, and at most one draft.

    (none) --connect--> draft --approve--> approved --draft--> approved + draft --approve--> ...
    any of them --revoke--> revoked, for ever

The serving revision is the one in the connection's signed approval, whatever the other columns
say. A draft is not signed itself; it is believed only while the newest act upon the connection's
revisions, in the signed audit log, is the making of exactly this draft: of its number, its
fingerprint and its maker. So neither a row written behind our back nor an older draft put back
is ever shown as something to approve.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from attrs import field, frozen

from control_plane.belief import Belief, Evidence, believe
from control_plane.errors import ConflictError, NotBelievedError
from control_plane.signer import Verifier
from shared.approved_connection import (
    ApprovedConnection,
    approved_connection,
    require_secret_of_document,
)
from shared.canonical_json import InvalidDocumentError
from shared.connection import ConnectionDocument, fingerprint
from shared.statement import (
    AuditEntry,
    ConnectionApproval,
    ConnectionRevocation,
    StatementRefusedError,
    StoredStatement,
    connection_subject,
)


class Action(StrEnum):
    """An act upon a connection's revisions, as the audit log names it."""

    CONNECT = "connection.connect"
    DRAFT = "connection.draft"
    DISCARD = "connection.discard"
    APPROVE = "connection.approve"
    REVOKE = "connection.revoke"


REVISION_ACTIONS: Final = tuple(action.value for action in Action)
_MAKING: Final = frozenset({Action.CONNECT, Action.DRAFT})


class Status(StrEnum):
    """What a connection is to devices."""

    PENDING = "pending"  # nothing serves
    APPROVED = "approved"
    REVOKED = "revoked"


@frozen
class RecordedCheck:
    """What the registry said to a revision's credential when it was made."""

    outcome: str
    problem: str | None = None

    def details(self) -> dict[str, str]:
        """Return the form in an audit entry's details."""
        details = {"check": self.outcome}
        return details | {"check_problem": self.problem} if self.problem else details

    @classmethod
    def of_entry(cls, entry: AuditEntry | None) -> "RecordedCheck":
        """Return what an entry's details say."""
        details = entry.details if entry else {}
        return cls(details.get("check", "skipped"), details.get("check_problem"))


@frozen
class StoredRevision:
    """A revision as it lies in the database: not yet believed."""

    number: int
    document: bytes
    sealed_secret: bytes | None = field(repr=False)


@frozen
class StoredConnection:
    """A connection as it lies in the database, with all that can prove it."""

    id: UUID
    host: str
    repository_prefix: str
    description: str
    created_at: datetime
    revoked_at: datetime | None
    statement: StoredStatement | None
    made_entry: StoredStatement | None  # the newest act that made a statement about it
    newest_entry: StoredStatement | None  # the newest act upon its revisions
    approved: StoredRevision | None
    draft: StoredRevision | None


@frozen
class Draft:
    """A revision that was verified to be what its maker made."""

    number: int
    document: ConnectionDocument
    stored_document: bytes
    fingerprint: str
    made_by: str
    made_at: datetime
    check: RecordedCheck
    sealed_secret: bytes | None = field(default=None, repr=False)


@frozen
class ConnectionState:
    """What is believed of a connection, and what is not."""

    id: UUID
    belief: Belief
    serving: ApprovedConnection | None = None
    revocation: ConnectionRevocation | None = None
    draft: Draft | None = None
    last_document: ConnectionDocument | None = None  # where nothing serves and nothing waits
    problem: str | None = None

    @property
    def status(self) -> Status:
        """The one of three."""
        if self.revocation:
            return Status.REVOKED
        return Status.APPROVED if self.serving else Status.PENDING

    @property
    def document(self) -> ConnectionDocument | None:
        """The document that the connection's view speaks of."""
        if self.serving:
            return self.serving.document
        return self.draft.document if self.draft else self.last_document


def connection_state(
    stored: StoredConnection, verifier: Verifier, *, highest_seen: int = 0
) -> ConnectionState:
    """Return what of a stored connection is believed."""
    belief = believe(
        Evidence(connection_subject(stored.id), stored.statement, stored.made_entry, highest_seen),
        verifier,
    )
    problems = [belief.problem]
    serving = revocation = draft = None
    match belief.statement:
        case ConnectionApproval() as approval:
            try:
                serving = approved_connection(approval)
            except StatementRefusedError as error:
                problems.append(f"its approval is not believed: {error}")
        case ConnectionRevocation():
            revocation = belief.statement
    if revocation is None:
        try:
            draft = _believed_draft(stored, verifier)
        except (StatementRefusedError, InvalidDocumentError) as error:
            problems.append(f"its draft is not believed: {error}")
        if stored.revoked_at is not None:
            problems.append("it is marked as revoked without a revocation")
    return ConnectionState(
        id=stored.id,
        belief=belief,
        serving=serving,
        revocation=revocation,
        draft=draft,
        last_document=_last_document(stored, belief.entry),
        problem="; ".join(problem for problem in problems if problem) or None,
    )


def approvable(
    state: ConnectionState, *, seen_fingerprint: str, approver: str, needs_second: bool
) -> Draft:
    """Return the draft that may now be approved, or raise `ConflictError`.

    What was seen is what is approved; a revocation is final; with `needs_second` nobody approves
    what they made.
    """
    require_not_revoked(state)
    if state.draft is None:
        if state.problem:
            raise NotBelievedError(state.problem)
        message = "nothing waits for approval"
        raise ConflictError(message)
    if state.draft.fingerprint != seen_fingerprint:
        message = "the draft has another fingerprint: look at it again before approving it"
        raise ConflictError(message)
    if needs_second and state.draft.made_by == approver:
        message = "whoever made a draft may not approve it here: a second person is needed"
        raise ConflictError(message)
    return state.draft


def require_not_revoked(state: ConnectionState) -> None:
    """Raise `ConflictError` if the connection is revoked."""
    if state.revocation:
        message = "the connection is revoked, for ever; make a new one"
        raise ConflictError(message)


def _believed_draft(stored: StoredConnection, verifier: Verifier) -> Draft | None:
    """Return the draft, if there is one; raise where what is stored was not so made."""
    entry = _newest_entry(stored, verifier)
    if stored.draft is None:
        if entry is not None and entry.action in _MAKING:
            message = "it has vanished from the database"
            raise StatementRefusedError(message)
        return None
    actual = fingerprint(stored.draft.document)
    expected = (str(stored.draft.number), actual)
    if entry is None or entry.action not in _MAKING or _names(entry) != expected:
        message = "the audit log does not say that it was made"
        raise StatementRefusedError(message)
    document = ConnectionDocument.from_bytes(stored.draft.document)
    if document.connected_by != entry.actor:
        message = "somebody else made it"
        raise StatementRefusedError(message)
    require_secret_of_document(document, stored.draft.sealed_secret)
    return Draft(
        number=stored.draft.number,
        document=document,
        stored_document=stored.draft.document,
        fingerprint=actual,
        made_by=entry.actor,
        made_at=entry.at,
        check=RecordedCheck.of_entry(entry),
        sealed_secret=stored.draft.sealed_secret,
    )


def _newest_entry(stored: StoredConnection, verifier: Verifier) -> AuditEntry | None:
    if stored.newest_entry is None:
        return None
    entry = verifier.verify_as(stored.newest_entry, AuditEntry)
    if entry.about != connection_subject(stored.id) or entry.action not in REVISION_ACTIONS:
        message = "its audit entry is about something else"
        raise StatementRefusedError(message)
    return entry


def _last_document(stored: StoredConnection, entry: AuditEntry | None) -> ConnectionDocument | None:
    """Return the document that the newest statement's act was about, if its bytes are there."""
    for revision in (stored.approved, stored.draft):
        if entry is None or revision is None:
            continue
        if _names(entry) == (str(revision.number), fingerprint(revision.document)):
            try:
                return ConnectionDocument.from_bytes(revision.document)
            except InvalidDocumentError:
                return None  # signed by a later version of this program; shown without its parts
    return None


def _names(entry: AuditEntry) -> tuple[str | None, str | None]:
    return entry.details.get("revision"), entry.details.get("fingerprint")
