"""A connection as the API shows it: made of what is believed, and never with a secret."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from control_plane.connections.notes import connection_notes
from control_plane.connections.request import scope_body
from control_plane.connections.revision import RecordedCheck, Revision, RevisionLabels
from control_plane.connections.revisions import COMMENT
from control_plane.connections.state import ConnectionState, Status, place_of
from control_plane.connections.stored_connection import StoredConnection
from control_plane.reading.page import View
from shared.canonical_json import format_time
from shared.connection import ConnectionDocument, EcrRole, GoogleServiceAccount, UsernameAndToken
from shared.identity_form import IdentityForm
from shared.statement import AuditEntry

_NO_SCOPE: Final[View] = {  # of a connection whose document is not believed
    "repositories": [],
    "fleets": [],
    "auth_realms": [],
    "plain_http": False,
    "allowed_networks": [],
    "ca_certificate": None,
    "referrers": False,
}


def connection_view(
    stored: StoredConnection, state: ConnectionState, at: datetime, form: IdentityForm | None
) -> View:
    """Return the view; its fields show the serving revision, or the draft if nothing serves."""
    serving = state.serving
    document, lone_draft = state.document, None if serving else state.draft
    return {
        **state.name,
        "serves": serving is not None and _expiry_problem(state, at) is None,
        "connected_by": document.connected_by if document else None,
        "connected_at": format_time(document.connected_at) if document else None,
        "approved_by": serving.approved_by if serving else None,
        "approved_at": format_time(serving.approved_at) if serving else None,
        "expires_at": _time(serving.expires_at if serving else None),
        **_end_view(state),
        "generation": state.belief.statement.generation if state.belief.statement else None,
        "fingerprint": _fingerprint(state, lone_draft),
        "description": stored.description,
        **document_view(document, form),
        **labels_view(
            lone_draft.labels if lone_draft else RevisionLabels.of_entry(state.last_entry)
        ),
        "draft": _draft_view(state, state.draft, form) if serving and state.draft else None,
        "sent_back": sent_back_view(state.sent_back if lone_draft else None),
        "names": state.names,
        "check": _check_view(
            lone_draft.check if lone_draft else RecordedCheck.of_entry(state.last_entry)
        ),
        "problem": _problem(stored, state, at),
    }


def document_view(document: ConnectionDocument | None, form: IdentityForm | None) -> View:
    """Return what an approver reads of a document."""
    credential = document.credential if document else None
    google = credential if isinstance(credential, GoogleServiceAccount) else None
    ecr = credential if isinstance(credential, EcrRole) else None
    username = credential.username if isinstance(credential, UsernameAndToken) else None
    return {
        "provider": document.provider.value if document else None,
        "username": username,
        "secret_version": document.secret.version if document and document.secret else None,
        "sealing_key_id": document.secret.key_id if document and document.secret else None,
        "anonymous": bool(document and document.provider == "static" and username is None),
        **(scope_body(document) if document else _NO_SCOPE),
        "google": google and {"client_email": google.client_email, "project_id": google.project_id},
        "notes": connection_notes(document, form) if document else [],
        "ecr": ecr and _ecr_view(ecr),
    }


def _ecr_view(ecr: EcrRole) -> View:
    """Return the role; an option that is off is left out, as it is in the signed document."""
    options = {"pull_through_cache": True} if ecr.pull_through_cache else {}
    return {
        "role_arn": ecr.role_arn,
        "region": ecr.region,
        "external_id": ecr.external_id,
        **options,
    }


def _problem(stored: StoredConnection, state: ConnectionState, at: datetime) -> str | None:
    problems = (state.problem, *_wrong_columns(stored, state), _expiry_problem(state, at))
    return "; ".join(each for each in problems if each) or None


def _wrong_columns(stored: StoredConnection, state: ConnectionState) -> Iterator[str]:
    """Yield where a row differs from what is signed; nobody believes the row."""
    if stored.made_at is None:
        yield "its row in the database has vanished, or has no time"
        return
    if state.document and place_of(state.document) != state.stored_place:
        yield "its row in the database says another host or prefix"
    if state.status is Status.REVOKED and not stored.is_marked_revoked:
        yield "its row in the database is not marked as revoked"


def _draft_view(state: ConnectionState, draft: Revision, form: IdentityForm | None) -> View:
    host, prefix = place_of(draft.document)
    return {
        "host": host,
        "repository_prefix": prefix,
        **document_view(draft.document, form),
        **labels_view(draft.labels),
        "fingerprint": draft.fingerprint,
        "by": draft.document.connected_by,
        "at": format_time(draft.document.connected_at),
        "check": _check_view(draft.check),
        "sent_back": sent_back_view(state.sent_back),
    }


def sent_back_view(entry: AuditEntry | None) -> View | None:
    """Return who sent a draft back, when and why."""
    if entry is None:
        return None
    comment = entry.details.get(COMMENT, "")
    return {"by": entry.actor, "at": format_time(entry.at), "comment": comment}


def _end_view(state: ConnectionState) -> View:
    by = at = None
    if state.revocation:
        by, at = state.revocation.revoked_by, state.revocation.revoked_at
    elif state.discarded:
        by, at = state.discarded.actor, state.discarded.at
    return {"revoked_by": by, "revoked_at": _time(at)}


def _check_view(check: RecordedCheck) -> View:
    return {"outcome": check.outcome, "problem": check.problem}


def labels_view(labels: RevisionLabels) -> View:
    """Return what the maker of a revision said of it."""
    return {
        "set_name": labels.set_name,
        "secret_label": labels.secret_label,
        "credential_expires_at": _time(labels.credential_expires_at),
    }


def _fingerprint(state: ConnectionState, lone_draft: Revision | None) -> str | None:
    if state.serving:
        return state.serving.fingerprint
    if lone_draft:
        return lone_draft.fingerprint
    return state.last_entry.details.get("fingerprint") if state.last_entry else None


def _expiry_problem(state: ConnectionState, at: datetime) -> str | None:
    expires_at = state.serving.expires_at if state.serving else None
    return "the approval has expired" if expires_at and expires_at <= at else None


def _time(moment: datetime | None) -> str | None:
    return format_time(moment) if moment else None
