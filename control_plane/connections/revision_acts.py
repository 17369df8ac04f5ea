"""What the acts upon a connection's revisions write: the revision, the approval, the entry."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from attrs import evolve

from control_plane.connections.revision import Revision, StoredRevision
from control_plane.connections.revision_store import insert_revision
from control_plane.connections.state import ConnectionState, place_of, state_of
from control_plane.connections.store import update_connection
from control_plane.connections.stored_connection import StoredConnection
from control_plane.database.one_trip import Row
from control_plane.errors import FieldError, InvalidRequestError, NotBelievedError
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.second_approver import MAKER_NAME
from control_plane.proof.actions import Action
from control_plane.proof.acts import Act
from shared.canonical_json import MAX_DOCUMENT_BYTES, to_json
from shared.connection import ConnectionDocument
from shared.statement import AuditEntry, ConnectionApproval, connection_subject

# An approval holds the document as a JSON text in JSON, the sealed secret in base64, and some
# words. A draft whose approval would be too long to be read again is refused.
APPROVAL_WORDS_BYTES: Final = 8 * 1024
MAX_REVISION: Final = 2**31 - 1  # Postgres' integer


def make_draft(
    act: Act,
    connection_id: UUID,
    revision: Revision,
    *,
    actor: AuthenticatedOperator,
    action: Action,
    details: Mapping[str, str] | None = None,
) -> AuditEntry:
    """Store a revision, and record that it was made. The caller changes the connection's row."""
    store_revision(act, connection_id, revision, made_by=actor.name)
    return act.record(
        actor=actor,
        action=action,
        about=connection_subject(connection_id),
        details=revision.details | dict(details or {}),
    )


def store_revision(act: Act, connection_id: UUID, revision: Revision, *, made_by: str) -> None:
    """Store a revision that can be approved.

    Raises `InvalidRequestError` if its approval would be too long, and `StatementLevelError` if
    not everybody who reads it would understand it: an older control plane reads drafts, too.
    """
    _require_approvable_size(revision.stored)
    act.require_level(revision.document)
    act.change(
        insert_revision(
            connection_id,
            revision.stored,
            made_by=made_by,
            made_at=act.at,
            audit_sequence=act.sequence,
        )
    )


def approve_revision(
    act: Act,
    before: StoredConnection,
    state: ConnectionState,
    revision: Revision,
    *,
    actor: AuthenticatedOperator,
    expires_at: datetime | None,
    action: Action,
) -> tuple[StoredConnection, ConnectionState]:
    """Sign the approval of a stored revision, and record it; then no draft waits.

    Return the connection as it is then.
    """
    approval = ConnectionApproval(
        connection_id=state.id,
        document=revision.stored.document.decode(),
        fingerprint=revision.fingerprint,
        approved_by=actor.name,
        approved_at=act.at,
        generation=act.generation_after(state.belief),
        expires_at=expires_at,
        sealed_secret=revision.sealed_secret,
    )
    maker_name = state.names.get(revision.document.connected_by)
    details = revision.details | ({MAKER_NAME: maker_name} if maker_name else {})
    belief = act.sign(approval, actor=actor, action=action, details=details)
    act.change(update_connection(state.id, approved_revision=revision.number, draft_revision=None))
    after = evolve(before, approved=revision.stored, draft=None)
    return after, state_of(after, belief, belief.entry)


def next_number(highest: Sequence[Row], state: ConnectionState) -> int:
    """Return a number that no revision of the connection ever had, as far as can be proven.

    A new secret's version is the number of its first revision, so no version comes twice either.
    Raises `NotBelievedError` if the database holds the highest number that there is.
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


def last_revision_details(state: ConnectionState) -> dict[str, str]:
    """Return what an entry says of the last revision of a connection that ends."""
    last = state.served or state.draft
    return last.details if last else {}


def require_place(
    stored: StoredConnection, state: ConnectionState, document: ConnectionDocument
) -> None:
    """Raise `NotBelievedError` if the row says another host or prefix than the document."""
    if (stored.host, stored.repository_prefix) != place_of(document):
        raise NotBelievedError(
            "host or prefix were changed in the database: revoke the connection, and connect the"
            " registry again",
            state.name,
        )


def _require_approvable_size(revision: StoredRevision) -> None:
    size = len(to_json(revision.document.decode())) + len(to_json(revision.sealed_secret or b""))
    if size + APPROVAL_WORDS_BYTES > MAX_DOCUMENT_BYTES:
        detail = "the connection as a whole is too large; shorten its lists or its CA bundle"
        raise InvalidRequestError((FieldError("", detail),))
