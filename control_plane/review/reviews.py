"""The review of a connection as it is now: what would be approved, and whether the caller may."""

from datetime import datetime
from uuid import UUID

from attrs import frozen

from control_plane.clock import Clock
from control_plane.connections.notes import connection_notes
from control_plane.connections.reader import ConnectionReader
from control_plane.connections.revision import Revision, RevisionLabels
from control_plane.connections.revisions import approvable, editable
from control_plane.connections.state import MAKING, ConnectionState
from control_plane.errors import ConflictError, NotPermittedError
from control_plane.operators.authenticated_operator import ACTOR_NAME, AuthenticatedOperator
from control_plane.operators.permissions import Role, require
from control_plane.reading.page import View
from control_plane.reading.query_reader import ListPlace
from control_plane.review.document_lines import ReviewedTerms
from control_plane.review.review import DocumentReview, ReviewedLine, lines_alone, review_of
from control_plane.slices import in_slices
from shared.approved_connection import ApprovedConnection
from shared.identity_form import IdentityForm


@frozen
class ConnectionReview:
    """What would be approved, against what is approved, and who asks."""

    state: ConnectionState
    revision: Revision
    document: DocumentReview
    notes: tuple[str, ...]  # what of it a facade refuses
    needs_second: bool
    refusal: str | None  # why the caller may not approve it
    reviewed_at: datetime

    @property
    def is_draft(self) -> bool:
        """Whether a draft waits; otherwise what serves may be approved once more."""
        return self.state.draft is not None

    @property
    def maker_name(self) -> str | None:
        """How people call who made it, if that is a person of single sign-on."""
        entry = self.state.newest_entry
        is_making = entry is not None and entry.action in MAKING
        return entry.details.get(ACTOR_NAME) if entry and is_making else None

    @property
    def approver_name(self) -> str | None:
        """How people call who approved what serves, if that is a person of single sign-on."""
        entry = self.state.belief.entry
        return entry.details.get(ACTOR_NAME) if entry and self.serving else None

    @property
    def serving(self) -> ApprovedConnection | None:
        """What was approved last."""
        return self.state.serving


@frozen
class ReviewQueue:
    """A page of the drafts that wait; `unbelieved` are connections whose draft is not as signed."""

    reviews: tuple[ConnectionReview, ...]
    unbelieved: tuple[ConnectionState, ...]
    next_place: ListPlace | None


@frozen
class ConnectionReviews:
    """Makes reviews. With `second_approver`, nobody approves what they made."""

    _reader: ConnectionReader
    _clock: Clock
    _form: IdentityForm | None
    _second_approver: bool

    async def review(
        self, connection_id: UUID, *, asked_by: AuthenticatedOperator
    ) -> ConnectionReview:
        """Return the review of the draft; without a draft, of what serves.

        Raises `NotFoundError`, and `ConflictError` if there is nothing that could be approved.
        """
        _, state = await self._reader.read(connection_id)
        return self._review(state, editable(state), asked_by)

    async def lines(self, connection_id: UUID) -> tuple[View, tuple[ReviewedLine, ...]]:
        """Return a connection's view, and the lines of the document that the view speaks of.

        There are none if no document is believed. Raises `NotFoundError`.
        """
        view, state = await self._reader.look(connection_id)
        if state.document is None:
            return view, ()
        shown = state.served or state.draft
        labels = shown.labels if shown else RevisionLabels.of_entry(state.last_entry)
        return view, lines_alone(ReviewedTerms(state.document, labels))

    async def queue(
        self, *, after: ListPlace | None, limit: int, asked_by: AuthenticatedOperator
    ) -> ReviewQueue:
        """Return the reviews of the drafts that wait, the oldest first."""
        states, next_place = await self._reader.waiting(after=after, limit=limit)
        reviews = await in_slices(
            [(state, state.draft) for state in states if state.draft],
            lambda each: self._review(*each, asked_by),
            at_once=1,  # of the longest documents one takes 20 ms
        )
        unbelieved = tuple(state for state in states if not state.draft)
        return ReviewQueue(tuple(reviews), unbelieved, next_place)

    def _review(
        self, state: ConnectionState, revision: Revision, asked_by: AuthenticatedOperator
    ) -> ConnectionReview:
        at = self._clock()
        served = state.served
        serving = ReviewedTerms(served.document, served.labels) if served else None
        return ConnectionReview(
            state=state,
            revision=revision,
            document=review_of(ReviewedTerms(revision.document, revision.labels), serving, at),
            notes=tuple(connection_notes(revision.document, self._form)),
            needs_second=self._second_approver,
            refusal=self._refusal(state, revision, asked_by),
            reviewed_at=at,
        )

    def _refusal(
        self, state: ConnectionState, revision: Revision, operator: AuthenticatedOperator
    ) -> str | None:
        """Return why this operator may not approve it now, by the rule that approving has."""
        try:
            require(operator.role, Role.APPROVER)
            approvable(
                state,
                seen_fingerprint=revision.fingerprint,
                approver=operator,
                needs_second=self._second_approver,
                despite_send_back=True,
            )
        except (ConflictError, NotPermittedError) as error:
            return str(error)
        return None
