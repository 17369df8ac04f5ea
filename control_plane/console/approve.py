"""Approve: the drafts that wait, and the review of one, to approve it or to send it back."""

from datetime import UTC, date, datetime, time
from typing import Final

from attrs import frozen

from control_plane.clock import Clock
from control_plane.connections import operations
from control_plane.connections.acts import ApprovalEnd, Connections
from control_plane.connections.fields import parse_fingerprint
from control_plane.console.connection_words import check_of, place_of
from control_plane.console.document_sections import changed_and_same, sections_of
from control_plane.console.local_path import ROOT
from control_plane.console.notices import Notice
from control_plane.console.page import ConsoleForm, ConsolePage, ConsoleSection, Done, PageView
from control_plane.console.submission import Submission
from control_plane.console.visit import Visit
from control_plane.reading.field_reader import FieldReader
from control_plane.reading.query_reader import format_place
from control_plane.reading.texts import parse_comment
from control_plane.reading.times import parse_time
from control_plane.review.operations import REVIEW
from control_plane.review.reviews import ConnectionReviews
from control_plane.review.view import line_view, review_view

DRAFTS_OF_A_PAGE: Final = 50
APPROVE_FORM: Final = "approve"
_TICKED: Final = "true"
_YES, _NO = "yes", "no"
_KEEP, _NEVER, _UNTIL = "keep", "never", "until"  # when the approval ends
_LAST_SECOND: Final = time(23, 59, 59, tzinfo=UTC)


@frozen
class ApprovePages:
    """The queue, and each review."""

    reviews: ConnectionReviews
    connections: Connections
    clock: Clock

    def pages(self) -> tuple[ConsolePage, ...]:
        """Return the pages."""
        return self._queue, self._review

    def forms(self) -> tuple[ConsoleForm, ...]:
        """Return the two answers to a draft."""
        return (
            ConsoleForm(
                path="connections/{id}/approve",
                name=APPROVE_FORM,
                operation=operations.APPROVE,
                page=self._review,
                submit=self.approve,
            ),
            ConsoleForm(
                path="connections/{id}/send-back",
                name="send-back",
                operation=operations.SEND_BACK,
                page=self._review,
                submit=self.send_back,
            ),
        )

    @property
    def _queue(self) -> ConsolePage:
        return ConsolePage(
            path=ConsoleSection.APPROVE.path,
            operation=operations.LIST,
            section=ConsoleSection.APPROVE,
            show=self.show_queue,
        )

    @property
    def _review(self) -> ConsolePage:
        return ConsolePage(
            path="connections/{id}/review",
            operation=REVIEW,
            section=ConsoleSection.APPROVE,
            show=self.show_review,
        )

    async def show_queue(self, visit: Visit) -> PageView:
        """Show the drafts that wait, the oldest first."""
        query = visit.query()
        after = query.place()
        query.finish()
        queue = await self.reviews.queue(
            after=after, limit=DRAFTS_OF_A_PAGE, asked_by=visit.operator
        )
        return PageView(
            "approve.html",
            "Approve",
            {
                "reviews": [review_view(each) for each in queue.reviews],
                "unbelieved": queue.unbelieved,
                "next_cursor": format_place(queue.next_place),
                "may_approve": visit.may(operations.APPROVE),
            },
        )

    async def show_review(self, visit: Visit) -> PageView:
        """Show what would be approved, and the forms that answer it."""
        visit.query().finish()
        review = await self.reviews.review(visit.path_id("connection"), asked_by=visit.operator)
        shown = review_view(review)
        state = visit.form(APPROVE_FORM)
        # Who ticked that they compared a fingerprint did not compare the one that is shown now.
        is_as_sent = state.value("fingerprint") == shown["fingerprint"]
        is_same_act = state.value("is_draft", "") == (_YES if review.is_draft else _NO)
        lines = [line_view(each) for each in review.document.lines]
        changed, same = changed_and_same(lines)
        return PageView(
            "review.html",
            f"Review {place_of(shown)}",
            {
                "review": shown,
                "check": check_of(shown),
                "line_sections": sections_of(lines),
                "changed_sections": changed,
                "same_sections": same,
                "may_approve": visit.may(operations.APPROVE),
                "keeps_ticks": is_as_sent and is_same_act,
                "is_other_now": state.was_refused and not (is_as_sent and is_same_act),
            },
        )

    async def approve(self, visit: Visit, submission: Submission) -> Done:
        """Approve what was seen, if it is still there as it was seen."""
        connection_id = visit.path_id("connection")
        fields = FieldReader(
            submission.given("fingerprint", "is_draft", "end", "until", "present_end")
        )
        fingerprint = fields.text("fingerprint", parse_fingerprint, required=True)
        end = ApprovalEnd(self._end(fields), is_said=True)
        is_draft = fields.text("is_draft", str) == _YES
        if _TICKED not in submission.chosen("compared"):
            fields.wrong("/compared", "compare the fingerprint, and say that you did")
        fields.finish()
        if fingerprint is None:
            raise fields.refusal()
        await self.connections.approve(
            connection_id,
            fingerprint,
            end=end,
            actor=visit.operator,
            despite_send_back=_TICKED in submission.chosen("despite_send_back"),
            only_draft=is_draft,
        )
        return Done(f"{ROOT}connections/{connection_id}", Notice.APPROVED)

    def _end(self, fields: FieldReader) -> datetime | None:
        """Return when the approval ends; None: never."""
        chosen = fields.text("end", _parse_end, required=True)
        day = fields.text("until", _parse_day, required=chosen == _UNTIL)
        present = fields.text("present_end", parse_time, required=chosen == _KEEP)
        if chosen not in {_UNTIL, _KEEP}:
            return None
        field, at = ("until", day) if chosen == _UNTIL else ("end", present)
        if at is not None and at <= self.clock():
            fields.wrong(f"/{field}", "expected a day to come")
        return at

    async def send_back(self, visit: Visit, submission: Submission) -> Done:
        """Send the draft that was seen back to whoever made it."""
        connection_id = visit.path_id("connection")
        fields = FieldReader(submission.given("comment", "fingerprint"))
        comment = fields.text("comment", parse_comment, required=True)
        fingerprint = fields.text("fingerprint", parse_fingerprint, required=True)
        fields.finish()
        if comment is None:
            raise fields.refusal()
        await self.connections.send_back(
            connection_id, comment=comment, seen_fingerprint=fingerprint, actor=visit.operator
        )
        return Done(ConsoleSection.APPROVE.url, Notice.SENT_BACK)


def _parse_end(text: str) -> str:
    if text not in {_KEEP, _NEVER, _UNTIL}:
        raise ValueError("expected one of the choices")
    return text


def _parse_day(text: str) -> datetime:
    """Return the last second of a day, in UTC."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError("expected a day such as 2030-01-31") from None
    return datetime.combine(day, _LAST_SECOND)
