"""A connection's revisions: the state machine. Pure.

A connection has at most one approved revision, which serves, and at most one draft.

    (none) --connect--> draft --approve--> approved --draft--> approved + draft --approve--> ...
    approved --rotate--> approved: a new secret under the approval that is there
    approved + draft --discard--> approved
    a lone draft --discard--> discarded, which is revoked without ever having served
    any of them --revoke--> revoked, for ever
"""

from datetime import datetime

from attrs import evolve, field, frozen

from control_plane.connection_state import ConnectionState, Draft, never_served
from control_plane.errors import ConflictError, NotBelievedError, NotFoundError
from control_plane.stored_connection import RecordedCheck
from shared.approved_connection import ApprovedConnection
from shared.connection import ConnectionDocument


@frozen
class Base:
    """The revision that an edit starts from: the waiting draft, else the one that serves."""

    document: ConnectionDocument
    fingerprint: str
    check: RecordedCheck
    sealed_secret: bytes | None = field(default=None, repr=False)


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


def editable(state: ConnectionState) -> Base:
    """Return what an edit starts from, or raise `ConflictError`."""
    require_not_revoked(state)
    if state.draft:
        draft = state.draft
        return Base(draft.document, draft.fingerprint, draft.check, draft.sealed_secret)
    if state.serving:
        check = RecordedCheck.of_entry(state.belief.entry)
        serving = state.serving
        return Base(serving.document, serving.fingerprint, check, serving.sealed_secret)
    raise NotBelievedError(state.problem or "there is no revision to change")


def renewable(
    state: ConnectionState,
    wished: ConnectionDocument,
    *,
    approver: str,
    needs_second: bool,
    at: datetime,
) -> ApprovedConnection:
    """Return the approved revision that a new secret alone may follow, or raise `ConflictError`.

    An approval is never carried over silently: the present one is verified and holds, no draft
    waits, and of what was approved nothing but the secret is another in `wished`.
    """
    require_not_revoked(state)
    if needs_second:
        message = f"a second person than {approver} is needed: leave out approve"
        raise ConflictError(message)
    if state.draft_waits:
        message = "a draft waits beside it: approve or discard that first, or leave out approve"
        raise ConflictError(message)
    if state.problem:
        raise NotBelievedError(state.problem)
    if state.serving is None:
        message = "nothing is approved yet: leave out approve, and approve the draft"
        raise ConflictError(message)
    if state.serving.expires_at is not None and state.serving.expires_at <= at:
        message = "the approval has expired: leave out approve, and approve the draft"
        raise ConflictError(message)
    if evolve(wished, secret=None) != evolve(state.serving.document, secret=None):
        message = "more than the secret changes: leave out approve, and approve what was seen"
        raise ConflictError(message)
    return state.serving


def require_discardable(state: ConnectionState) -> None:
    """Raise `NotFoundError` if no draft waits."""
    require_not_revoked(state)
    if not state.draft_waits:
        message = "no draft waits"
        raise NotFoundError(message)


def ends_when_discarded(state: ConnectionState) -> bool:
    """Tell whether the draft is all that there ever was of the connection."""
    return never_served(state.belief)


def require_not_revoked(state: ConnectionState) -> None:
    """Raise `ConflictError` if the connection has ended."""
    if state.revocation:
        message = "the connection is revoked, for ever; make a new one"
        raise ConflictError(message)
    if state.discarded:
        message = "the connection's only draft was discarded; make a new one"
        raise ConflictError(message)
