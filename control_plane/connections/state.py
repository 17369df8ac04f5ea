"""What is believed of a stored connection: which revision serves, and which draft waits. Pure.

- The serving revision is the one in the connection's signed approval, whatever the columns say.
- A draft is not signed itself. It is believed while the newest act upon the connection's revisions,
  in the signed audit log, is the making of this very draft: number, fingerprint and maker agree.
- A draft is sent back while a signed entry that names this very draft says so, and no act upon the
  revisions follows it.

So neither a row that was written behind our back, nor an older draft that was put back, is ever
shown as something to approve.
"""

from enum import StrEnum
from typing import Final
from uuid import UUID

from attrs import frozen

from control_plane.connections.revision import RecordedCheck, Revision, RevisionLabels
from control_plane.connections.stored_connection import StoredConnection
from control_plane.operators.authenticated_operator import ACTOR_NAME
from control_plane.operators.second_approver import MAKER_NAME, MAKER_PERSON
from control_plane.proof.actions import REVISION_ACTIONS, SEND_BACK, Action
from control_plane.proof.belief import ACTED, Belief, believe
from control_plane.proof.signer import Verifier
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
    connection_subject,
)

MAKING: Final = frozenset({Action.CONNECT, Action.DRAFT})


class Status(StrEnum):
    """What a connection is to devices."""

    PENDING = "pending"  # nothing serves
    APPROVED = "approved"
    REVOKED = "revoked"  # for ever; also a connection whose only draft was discarded


@frozen
class ConnectionState:
    """What is believed of a connection, and what is not."""

    id: UUID
    belief: Belief
    stored_place: tuple[str, str]  # the row's host and prefix, shown where there is no document
    serving: ApprovedConnection | None = None
    revocation: ConnectionRevocation | None = None
    discarded: AuditEntry | None = None  # the act that ended a connection that never served
    draft: Revision | None = None
    newest_entry: AuditEntry | None = None  # the newest act upon its revisions
    sent_back: AuditEntry | None = None  # the act that sent the draft back
    draft_waits: bool = False  # whether it is believed or not
    last_document: ConnectionDocument | None = None  # if nothing serves and no draft waits
    problem: str | None = None

    @property
    def status(self) -> Status:
        """Pending, approved or revoked."""
        if self.revocation or self.discarded:
            return Status.REVOKED
        return Status.APPROVED if self.serving else Status.PENDING

    @property
    def document(self) -> ConnectionDocument | None:
        """The document that the connection's view shows."""
        if self.serving:
            return self.serving.document
        return self.draft.document if self.draft else self.last_document

    @property
    def served(self) -> Revision | None:
        """The revision that serves; the act that approved it says which one that is."""
        if self.serving is None or self.belief.entry is None:
            return None
        entry, serving = self.belief.entry, self.serving
        return Revision(
            int(entry.details["revision"]),
            serving.document,
            RecordedCheck.of_entry(entry),
            serving.sealed_secret,
            entry.details.get(MAKER_PERSON),
            RevisionLabels.of_entry(entry),
        )

    @property
    def newest(self) -> Revision | None:
        """The revision that an edit starts from: the waiting draft, else the one that serves."""
        return self.draft or self.served

    @property
    def place(self) -> tuple[str, str]:
        """Host and repository prefix, as they are shown."""
        return place_of(self.document) if self.document else self.stored_place

    @property
    def names(self) -> dict[str, str]:
        """What people call the persons who acted, by their identities, as the signed log says."""
        acted = (self.belief.entry, self.newest_entry, self.discarded, self.sent_back)
        found = {
            entry.actor: entry.details[ACTOR_NAME]
            for entry in acted
            if entry is not None and ACTOR_NAME in entry.details
        }
        approved = self.belief.entry.details if self.belief.entry else {}
        if self.serving is not None and MAKER_NAME in approved:
            found.setdefault(self.serving.document.connected_by, approved[MAKER_NAME])
        return found

    def called(self, name: str) -> str:
        """Return what people call somebody who acted: a person of single sign-on by name."""
        return self.names.get(name, name)

    @property
    def name(self) -> dict[str, object]:
        """How an answer names this connection if it is in the way of something."""
        host, prefix = self.place
        return {
            "id": str(self.id),
            "host": host,
            "repository_prefix": prefix,
            "status": self.status.value,
        }

    @property
    def last_entry(self) -> AuditEntry | None:
        """The act that made the connection what it is to devices."""
        return self.belief.entry or self.discarded


def connection_state(stored: StoredConnection, verifier: Verifier) -> ConnectionState:
    """Return what of a stored connection is believed; each of its signatures is verified once."""
    belief = believe(stored.evidence, verifier)
    if isinstance(belief.statement, ConnectionRevocation):
        return state_of(stored, belief)
    try:
        newest = _newest_entry(stored, belief, verifier)
        return state_of(stored, belief, newest, sent_back=_sent_back_entry(stored, verifier))
    except StatementRefusedError as error:
        return state_of(stored, belief, refused=str(error))


def state_of(
    stored: StoredConnection,
    belief: Belief,
    newest: AuditEntry | None = None,
    *,
    sent_back: AuditEntry | None = None,
    refused: str | None = None,
) -> ConnectionState:
    """Return the state that follows from what is believed, or was signed just now.

    `newest` is the newest act upon the connection's revisions; `refused` says why nobody knows it,
    or what came after it.
    """
    problems = [belief.problem]
    serving = revocation = discarded = draft = None
    match belief.statement:
        case ConnectionApproval() as approval:
            try:
                serving = approved_connection(approval)
            except StatementRefusedError as error:
                problems.append(f"its approval is not believed: {error}")
        case ConnectionRevocation():
            revocation = belief.statement
    if revocation is None:
        discarded = newest if _ended_by(newest, belief) else None
        try:
            draft = None if discarded or refused else _believed_draft(stored, newest)
        except (StatementRefusedError, InvalidDocumentError) as error:
            refused = str(error)
        if refused:
            problems.append(f"its draft is not believed: {refused}")
        if stored.is_marked_revoked and discarded is None:
            problems.append("it is marked as revoked without a revocation")
    is_open = revocation is None and discarded is None
    return ConnectionState(
        id=stored.id,
        belief=belief,
        stored_place=(stored.host, stored.repository_prefix),
        serving=serving,
        revocation=revocation,
        discarded=discarded,
        draft=draft,
        newest_entry=newest,
        sent_back=sent_back if draft and sent_back and _is_about(sent_back, draft) else None,
        draft_waits=is_open and (stored.draft is not None or _is_making(newest)),
        last_document=_last_document(stored, belief.entry or discarded),
        problem="; ".join(problem for problem in problems if problem) or None,
    )


def place_of(document: ConnectionDocument) -> tuple[str, str]:
    """Return host and repository prefix, which is empty for none."""
    return str(document.host), str(document.repository_prefix or "")


def _ended_by(newest: AuditEntry | None, belief: Belief) -> bool:
    return newest is not None and newest.action == Action.DISCARD and never_served(belief)


def never_served(belief: Belief) -> bool:
    """Tell whether no statement was ever made about the connection, as far as can be proven."""
    return belief.statement is None and belief.problem is None


def _is_making(entry: AuditEntry | None) -> bool:
    return entry is not None and entry.action in MAKING


def _believed_draft(stored: StoredConnection, newest: AuditEntry | None) -> Revision | None:
    """Return the draft, if there is one; raise if the signed log has no such draft."""
    if stored.draft is None:
        if _is_making(newest):
            raise StatementRefusedError("it has vanished from the database")
        return None
    names = str(stored.draft.number), fingerprint(stored.draft.document)
    if newest is None or not _is_making(newest) or _names(newest) != names:
        raise StatementRefusedError("the audit log does not say that it was made")
    document = ConnectionDocument.from_bytes(stored.draft.document)
    if document.connected_by != newest.actor:
        raise StatementRefusedError("somebody else made it")
    require_secret_of_document(document, stored.draft.sealed_secret)
    return Revision(
        stored.draft.number,
        document,
        RecordedCheck.of_entry(newest),
        stored.draft.sealed_secret,
        newest.details.get(MAKER_PERSON),
        RevisionLabels.of_entry(newest),
    )


def _newest_entry(
    stored: StoredConnection, belief: Belief, verifier: Verifier
) -> AuditEntry | None:
    if stored.newest is None:
        return None
    if stored.newest.entry is None:
        raise StatementRefusedError(ACTED)
    made = stored.evidence.made
    if belief.entry and made and made.entry == stored.newest.entry:
        entry = belief.entry  # the same act, whose signature was verified
    else:
        entry = verifier.verify_as(stored.newest.entry, AuditEntry)
    if entry.about != connection_subject(stored.id) or entry.action not in REVISION_ACTIONS:
        raise StatementRefusedError("its audit entry is about something else")
    return entry


def _sent_back_entry(stored: StoredConnection, verifier: Verifier) -> AuditEntry | None:
    if stored.sent_back is None:
        return None
    if stored.sent_back.entry is None:
        raise StatementRefusedError(ACTED)
    entry = verifier.verify_as(stored.sent_back.entry, AuditEntry)
    if (entry.about, entry.action) != (connection_subject(stored.id), SEND_BACK):
        raise StatementRefusedError("the entry of what sent it back is about something else")
    return entry


def _is_about(entry: AuditEntry, draft: Revision) -> bool:
    return _names(entry) == (str(draft.number), draft.fingerprint)


def _last_document(stored: StoredConnection, entry: AuditEntry | None) -> ConnectionDocument | None:
    """Return the document that the newest statement was about, if its bytes are stored."""
    for revision in (stored.approved, stored.draft):
        if entry is None or revision is None:
            continue
        if _names(entry) == (str(revision.number), fingerprint(revision.document)):
            try:
                return ConnectionDocument.from_bytes(revision.document)
            except InvalidDocumentError:
                return None  # of a later version of this program; the view leaves its parts empty
    return None


def _names(entry: AuditEntry) -> tuple[str | None, str | None]:
    return entry.details.get("revision"), entry.details.get("fingerprint")
