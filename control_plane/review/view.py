"""A review as the API shows it. Pure."""

from typing import Any

from control_plane.connections.view import sent_back_view
from control_plane.reading.page import View
from control_plane.review.fingerprint_words import fingerprint_words
from control_plane.review.highlights import Highlight
from control_plane.review.review import ReviewedLine
from control_plane.review.reviews import ConnectionReview
from shared.approved_connection import ApprovedConnection
from shared.canonical_json import format_time


def review_view(review: ConnectionReview) -> View:
    """Return the view."""
    document, fingerprint = review.revision.document, review.revision.fingerprint
    return {
        **review.state.name,
        "is_draft": review.is_draft,
        "fingerprint": fingerprint,
        "fingerprint_words": list(fingerprint_words(fingerprint)),
        "made_by": document.connected_by,
        "made_by_name": review.maker_name,
        "made_at": format_time(document.connected_at),
        "names": review.state.names,
        "check": {
            "outcome": review.revision.check.outcome,
            "problem": review.revision.check.problem,
        },
        "sent_back": sent_back_view(review.state.sent_back),
        "approved": _approved_view(review.serving, review.approver_name)
        if review.serving
        else None,
        "changed_terms": review.document.changed_terms,
        "lines": [line_view(each) for each in review.document.lines],
        "highlights": [_highlight_view(each) for each in review.document.highlights],
        "notes": list(review.notes),
        "problem": review.state.problem,
        "second_approver": review.needs_second,
        "refusal": review.refusal,
    }


def _approved_view(serving: ApprovedConnection, name: str | None) -> dict[str, Any]:
    return {
        "fingerprint": serving.fingerprint,
        "approved_by": serving.approved_by,
        "approved_by_name": name,
        "approved_at": format_time(serving.approved_at),
        "expires_at": format_time(serving.expires_at) if serving.expires_at else None,
    }


def line_view(reviewed: ReviewedLine) -> dict[str, Any]:
    """Return a line of both sides."""
    return {
        "name": reviewed.line.name,
        "label": reviewed.line.label,
        "section": reviewed.line.section.value,
        "change": reviewed.change.value,
        "before": None if reviewed.before is None else list(reviewed.before),
        "after": None if reviewed.after is None else list(reviewed.after),
    }


def _highlight_view(highlight: Highlight) -> dict[str, Any]:
    return {
        "kind": highlight.kind.value,
        "line": highlight.line,
        "weight": highlight.weight.value,
        "is_new": highlight.is_new,
        "words": highlight.words,
    }
