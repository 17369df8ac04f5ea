"""A connection's revisions: the state machine. Pure.

A connection has at most one approved revision, which serves, and at most one draft.

    (none) --connect--> draft --approve--> approved --draft--> approved + draft --approve--> ...
    approved --approve--> approved: what serves is approved once more, with an end of its own
    approved --rotate--> approved: a new secret under the approval that is there
    approved + draft --discard--> approved
    draft --send back--> draft, sent back, until it is edited, approved all the same, or discarded
    a lone draft --discard--> discarded, which is revoked without ever having served
    any of them --revoke--> revoked, for ever
"""

from datetime import datetime
from typing import Final

from attrs import evolve

from control_plane.connections.revision import Revision
from control_plane.connections.state import ConnectionState, never_served
from control_plane.errors import (
    ConflictError,
    FieldError,
    InvalidRequestError,
    NotBelievedError,
    NotFoundError,
)
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.second_approver import why_no_second
from shared.approved_connection import ApprovedConnection
from shared.canonical_json import format_time
from shared.connection import ConnectionDocument
from shared.statement import AuditEntry

COMMENT: Final = "comment"  # the detail of an entry that says why a draft was sent back
LEAVE_OUT: Final = "leave out approve (in a shell: --approve)"


def approvable(
    state: ConnectionState,
    *,
    seen_fingerprint: str,
    approver: AuthenticatedOperator,
    needs_second: bool,
    despite_send_back: bool = False,
    only_draft: bool = False,
) -> Revision:
    """Return what may now be approved: the draft; without a draft, what serves, once more.

    It has to be what the approver saw. A revocation is final. With `needs_second`, nobody approves
    what they made. A draft that was sent back is approved by whoever says that they know of it.
    With `only_draft`, what serves is not approved once more: of two who approve a draft at once,
    the second is told of the first.
    Raises `ConflictError`.
    """
    require_not_revoked(state)
    if state.problem and state.draft is None:
        raise _not_believed(state, state.problem)
    found = state.newest
    if found is None:
        raise ConflictError("nothing waits for approval: an edit or a new secret does", state.name)
    if only_draft and state.draft is None and state.serving:
        raise ConflictError(
            f"no draft waits any more: {state.called(state.serving.approved_by)} approved what"
            f" serves at {format_time(state.serving.approved_at)}",
            state.name,
        )
    by = state.called(found.document.connected_by)
    made = f"{by} made it at {format_time(found.document.connected_at)}"
    what = "the draft" if state.draft else "nothing waits for approval, and what serves"
    if found.fingerprint != seen_fingerprint:
        raise ConflictError(
            f"{what} has another fingerprint ({made}): look at it before approving it", state.name
        )
    if needs_second and (why := why_no_second(found.maker, approver)):
        raise ConflictError(f"{why} ({made}): another approver does", state.name)
    if state.sent_back and not despite_send_back:
        raise ConflictError(
            f"{_sent_back_words(state.sent_back)}; an edit answers that, or approve it with"
            " despite_send_back (in a shell: --despite-send-back)",
            state.name,
        )
    return found


def returnable(state: ConnectionState, *, seen_fingerprint: str | None) -> Revision:
    """Return the draft that may be sent back, if it is the one that was seen.

    Raises `ConflictError`.
    """
    require_not_revoked(state)
    if state.draft is None:
        if state.draft_waits and state.problem:
            raise _not_believed(state, state.problem)
        raise ConflictError("no draft waits that could be sent back", state.name)
    if seen_fingerprint not in (None, state.draft.fingerprint):
        document = state.draft.document
        by = state.called(document.connected_by)
        made = f"{by} made it at {format_time(document.connected_at)}"
        raise ConflictError(
            f"the draft has another fingerprint ({made}): look at it before sending it back",
            state.name,
        )
    return state.draft


def require_end_said(state: ConnectionState, *, says_end: bool) -> None:
    """Raise `InvalidRequestError` if an approval would silently drop the end of the present one.

    The approver then has to say when the new one ends: at a time, or never.
    """
    if says_end or state.serving is None or state.serving.expires_at is None:
        return
    detail = (
        f"the present approval ends at {format_time(state.serving.expires_at)}: say when this one"
        " does, a time or null for never"
    )
    raise InvalidRequestError((FieldError("/expires_at", detail),))


def editable(state: ConnectionState) -> Revision:
    """Return the revision that an edit starts from, or raise `ConflictError`."""
    require_not_revoked(state)
    if state.newest:
        return state.newest
    raise _not_believed(state, state.problem or "there is no revision to change")


def renewable(
    state: ConnectionState,
    wished: ConnectionDocument,
    *,
    approver: str,
    needs_second: bool,
    at: datetime,
) -> ApprovedConnection:
    """Return what is approved, if a new secret may serve under the same approval.

    The present approval has to be believed and not expired, no draft may wait, and `wished` may
    differ from what was approved in its secret alone. Otherwise raises `ConflictError`.
    """
    require_not_revoked(state)
    if needs_second:
        raise ConflictError(f"a second person than {approver} is needed: {LEAVE_OUT}", state.name)
    if state.draft_waits:
        by = f" of {state.called(state.draft.document.connected_by)}" if state.draft else ""
        raise ConflictError(
            f"a draft waits beside it{by}: approve or discard that, or {LEAVE_OUT}", state.name
        )
    if state.problem:
        raise _not_believed(state, state.problem)
    if state.serving is None:
        raise ConflictError(
            f"nothing is approved yet: {LEAVE_OUT}, and approve the draft", state.name
        )
    if state.serving.expires_at is not None and state.serving.expires_at <= at:
        raise ConflictError(
            f"the approval expired at {format_time(state.serving.expires_at)}: {LEAVE_OUT},"
            " and approve the draft",
            state.name,
        )
    if evolve(wished, secret=None) != evolve(state.serving.document, secret=None):
        raise ConflictError(
            f"more than the secret changes: {LEAVE_OUT}, and approve what was seen", state.name
        )
    return state.serving


def require_discardable(state: ConnectionState) -> None:
    """Raise `NotFoundError` if no draft waits."""
    require_not_revoked(state)
    if not state.draft_waits:
        raise NotFoundError("no draft waits")


def ends_when_discarded(state: ConnectionState) -> bool:
    """Tell whether the connection never served, so that it ends with its draft."""
    return never_served(state.belief)


def require_not_revoked(state: ConnectionState) -> None:
    """Raise `ConflictError` if the connection has ended."""
    if ended := state.revocation:
        when = f"{state.called(ended.revoked_by)} revoked it at {format_time(ended.revoked_at)}"
        raise ConflictError(
            f"the connection is revoked, for ever ({when}); make a new one", state.name
        )
    if discarded := state.discarded:
        when = f"{state.called(discarded.actor)} did at {format_time(discarded.at)}"
        raise ConflictError(
            f"the connection's only draft was discarded ({when}); make a new one", state.name
        )


def place_taken(state: ConnectionState) -> ConflictError:
    """Return the error for connecting a place that another connection has."""
    place = "/".join(part for part in state.place if part)
    end = "discard its draft" if ends_when_discarded(state) and state.draft_waits else "revoke it"
    return ConflictError(
        f"{place} is connected already, as {state.id} ({state.status}): change that connection,"
        f" or {end} and connect again",
        state.name,
    )


def _sent_back_words(entry: AuditEntry) -> str:
    comment = entry.details.get(COMMENT, "")
    return f"{entry.actor} sent the draft back at {format_time(entry.at)}: {comment}"


def _not_believed(state: ConnectionState, problem: str) -> NotBelievedError:
    return NotBelievedError(
        f"{problem}; revoke the connection, and connect the registry again", state.name
    )
