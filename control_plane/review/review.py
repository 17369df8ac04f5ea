"""A review: a revision against the one that was approved last, side by side. Pure."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import frozen

from control_plane.review.document_lines import (
    DocumentLine,
    Leaves,
    ReviewedTerms,
    Texts,
    leaves_of,
    lines_of,
)
from control_plane.review.highlights import Highlight, highlights
from shared.connection import SealedSecretReference

NEW_SECRET, KEPT_SECRET, REPLACED_SECRET = "new", "as before", "replaced"
MAKING: Final = frozenset({"connected_by", "connected_at"})  # each draft is made by somebody, once
SEALED_AGAIN = "as before, sealed again"


class LineChange(StrEnum):
    """What becomes of a line."""

    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"
    SAME = "same"


@frozen
class ReviewedLine:
    """A line of both revisions; None: the revision has no such line."""

    line: DocumentLine
    change: LineChange
    before: Texts | None
    after: Texts | None


@frozen
class DocumentReview:
    """Every line that either revision has, in the order of reading, and what stands out."""

    lines: tuple[ReviewedLine, ...]
    highlights: tuple[Highlight, ...]

    @property
    def changed_terms(self) -> int:
        """How many lines differ, but for who made the revision and when."""
        return sum(
            each.change is not LineChange.SAME and each.line.name not in MAKING
            for each in self.lines
        )


def review_of(
    reviewed: ReviewedTerms, serving: ReviewedTerms | None, at: datetime
) -> DocumentReview:
    """Return the review; `serving` is what was approved last, if anything was."""
    both = (serving, reviewed) if serving else (reviewed,)
    before = leaves_of(serving) if serving else {}
    after = leaves_of(reviewed)
    lines = [
        each
        for line in lines_of(*both)
        if (each := _reviewed(line, reviewed, after, serving, before)) is not None
    ]
    return DocumentReview(tuple(lines), highlights(reviewed, serving, at))


def lines_alone(terms: ReviewedTerms) -> tuple[ReviewedLine, ...]:
    """Return the lines of a revision that is compared with nothing."""
    read = ((line, line.read(terms)) for line in lines_of(terms))
    return tuple(
        ReviewedLine(line, LineChange.SAME, None, shown)
        for line, shown in read
        if shown is not None
    )


def _reviewed(
    line: DocumentLine,
    reviewed: ReviewedTerms,
    after: Leaves,
    serving: ReviewedTerms | None,
    before: Leaves,
) -> ReviewedLine | None:
    """Return the line; None if neither has it."""
    shown_before = line.read(serving) if serving else None
    shown_after = line.read(reviewed)
    is_same = _of(line, before) == _of(line, after)
    change = _change(shown_before, shown_after, is_same=is_same)
    if change is None:
        return None
    if line.name == "secret" and shown_after and (secret := reviewed.document.secret):
        said = _said_of_secret(secret, serving.document.secret if serving else None)
        shown_after = (f"{said} ({shown_after[0]})",)
    return ReviewedLine(line, change, shown_before, shown_after)


def _change(before: Texts | None, after: Texts | None, *, is_same: bool) -> LineChange | None:
    if before is None and after is None:
        return None if is_same else LineChange.CHANGED
    if before is None:
        return LineChange.NEW
    if after is None:
        return LineChange.REMOVED
    return LineChange.SAME if is_same else LineChange.CHANGED


def _of(line: DocumentLine, leaves: Leaves) -> Leaves:
    return {leaf: leaves[leaf] for leaf in line.leaves if leaf in leaves}


def _said_of_secret(after: SealedSecretReference, before: SealedSecretReference | None) -> str:
    if before is None:
        return NEW_SECRET
    if before.version != after.version:
        return REPLACED_SECRET
    return KEPT_SECRET if before.sha256 == after.sha256 else SEALED_AGAIN
