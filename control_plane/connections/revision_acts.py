"""What every act upon a connection's revisions writes: the revision, the approval, the entry."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from attrs import evolve, frozen

from control_plane.connections.revision_store import insert_revision
from control_plane.connections.state import ConnectionState, Draft, place_of, state_of
from control_plane.connections.store import update_connection
from control_plane.database.one_trip import Row
from control_plane.errors import FieldError, InvalidRequestError, NotBelievedError
from control_plane.proof.actions import Action
from control_plane.proof.acts import Act
from control_plane.proof.sealer import SealedDocument
from control_plane.proof.stored_connection import RecordedCheck, StoredConnection, StoredRevision
from shared.approved_connection import ApprovedConnection
from shared.canonical_json import MAX_DOCUMENT_BYTES, to_json
from shared.connection import ConnectionDocument, fingerprint
from shared.statement import AuditEntry, ConnectionApproval, connection_subject

# An approval holds the document as a JSON text in JSON, the sealed secret in base64, and some
# words; a draft whose approval could not be read again must not come into being.
APPROVAL_WORDS_BYTES: Final = 8 * 1024
MAX_REVISION: Final = 2**31 - 1  # Postgres' integer


@frozen
class Revision:
    """A revision that is being made."""

    connection_id: UUID
    number: int
    sealed: SealedDocument
    check: RecordedCheck

    @property
    def document(self) -> bytes:
        """The bytes that are stored, shown, hashed and signed."""
        return self.sealed.document.to_bytes()

    @property
    def details(self) -> dict[str, str]:
        """What its audit entry says of it."""
        return _details(self.number, fingerprint(self.document), self.check)


def make_draft(
    act: Act,
    revision: Revision,
    *,
    action: Action,
    details: Mapping[str, str] | None = None,
) -> tuple[StoredRevision, AuditEntry]:
    """Store a revision, and record its making: the act's entry. The row is the caller's."""
    maker = revision.sealed.document.connected_by
    stored = store_revision(act, revision, made_by=maker)
    entry = act.record(
        actor=maker,
        action=action,
        about=connection_subject(revision.connection_id),
        details=revision.details | dict(details or {}),
    )
    return stored, entry


def store_revision(act: Act, revision: Revision, *, made_by: str) -> StoredRevision:
    """Store a revision; raise `InvalidRequestError` if its approval could not be read again."""
    _require_approvable_size(revision.document, revision.sealed.sealed_secret)
    stored = StoredRevision(revision.number, revision.document, revision.sealed.sealed_secret)
    act.change(
        insert_revision(
            revision.connection_id,
            stored,
            made_by=made_by,
            made_at=act.at,
            audit_sequence=act.sequence,
        )
    )
    return stored


def approve_revision(
    act: Act,
    before: StoredConnection,
    state: ConnectionState,
    stored: StoredRevision,
    *,
    actor: str,
    expires_at: datetime | None,
    action: Action,
    check: RecordedCheck,
) -> tuple[StoredConnection, ConnectionState]:
    """Sign the approval of a stored revision, and record it: the act's entry. No draft waits then.

    Return the connection as it is then.
    """
    approval = ConnectionApproval(
        connection_id=state.id,
        document=stored.document.decode(),
        fingerprint=fingerprint(stored.document),
        approved_by=actor,
        approved_at=act.at,
        generation=act.generation_after(state.belief),
        expires_at=expires_at,
        sealed_secret=stored.sealed_secret,
    )
    details = _details(stored.number, approval.fingerprint, check)
    belief = act.sign(approval, actor=actor, action=action, details=details)
    act.change(update_connection(state.id, approved_revision=stored.number, draft_revision=None))
    after = evolve(before, approved=stored, draft=None)
    return after, state_of(after, belief, belief.entry)


def revision_of(
    state: ConnectionState, found: Draft | ApprovedConnection
) -> tuple[StoredRevision, RecordedCheck]:
    """Return the stored revision of a draft or of what serves, and what its registry said."""
    if isinstance(found, Draft):
        return StoredRevision(found.number, found.stored_document, found.sealed_secret), found.check
    approval, entry = state.belief.statement, state.belief.entry
    if not isinstance(approval, ConnectionApproval) or entry is None:
        raise AssertionError("what serves was approved, by an act of the signed log")
    number = int(entry.details["revision"])
    revision = StoredRevision(number, approval.document.encode(), approval.sealed_secret)
    return revision, RecordedCheck.of_entry(entry)


def next_number(highest: Sequence[Row], state: ConnectionState) -> int:
    """Return a number that no revision of the connection ever had, as far as can be proven.

    A new secret's version is the number of its first revision, so no version comes twice either.
    Raises `NotBelievedError` if a number in the database leaves room for no other.
    """
    named = state.newest_entry.details.get("revision", "0") if state.newest_entry else "0"
    number = max(int(highest[0]["highest"]), int(named)) + 1
    if number > MAX_REVISION:
        raise NotBelievedError(
            "a revision's number was changed in the database: revoke the connection, and connect"
            " the registry again",
            state.name,
        )
    return number


def draft_details(draft: Draft) -> dict[str, str]:
    """Return what an audit entry says of a draft."""
    return _details(draft.number, draft.fingerprint, draft.check)


def last_revision_details(state: ConnectionState) -> dict[str, str]:
    """Return what names the last revision of a connection that ends."""
    if state.serving is None and state.draft:
        return draft_details(state.draft)
    if state.serving:
        revision, check = revision_of(state, state.serving)
        return _details(revision.number, state.serving.fingerprint, check)
    return {}


def require_place(
    stored: StoredConnection, state: ConnectionState, document: ConnectionDocument
) -> None:
    """Raise `NotBelievedError` if the row's projections are of another place than the document."""
    if (stored.host, stored.repository_prefix) != place_of(document):
        raise NotBelievedError(
            "host or prefix were changed in the database: revoke the connection, and connect the"
            " registry again",
            state.name,
        )


def _require_approvable_size(document: bytes, sealed_secret: bytes | None) -> None:
    size = len(to_json(document.decode())) + len(to_json(sealed_secret or b""))
    if size + APPROVAL_WORDS_BYTES > MAX_DOCUMENT_BYTES:
        detail = "the connection as a whole is too large; shorten its lists or its CA bundle"
        raise InvalidRequestError((FieldError("", detail),))


def _details(number: int, document_fingerprint: str, check: RecordedCheck) -> dict[str, str]:
    return {"revision": str(number), "fingerprint": document_fingerprint, **check.details()}
