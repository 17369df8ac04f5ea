"""A review: a document against the one that was approved last, side by side. Pure."""

from datetime import datetime
from enum import StrEnum

from attrs import frozen

from control_plane.review.document_lines import (
    DocumentLine,
    Leaves,
    Section,
    Texts,
    leaves_of,
    lines_of,
)
from control_plane.review.highlights import Highlight, highlights
from shared.connection import ConnectionDocument, SealedSecretReference

NEW_SECRET, KEPT_SECRET, REPLACED_SECRET = "new", "as before", "replaced"
SEALED_AGAIN = "as before, sealed again"


class LineChange(StrEnum):
    """What becomes of a line."""

    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"
    SAME = "same"


@frozen
class ReviewedLine:
    """A line of both documents; None: the document has no such line."""

    line: DocumentLine
    change: LineChange
    before: Texts | None
    after: Texts | None


@frozen
class DocumentReview:
    """Every line that either document has, in the order of reading, and what stands out."""

    lines: tuple[ReviewedLine, ...]
    highlights: tuple[Highlight, ...]

    @property
    def changed_terms(self) -> int:
        """How many lines differ, but for who made the document and when."""
        return sum(
            each.change is not LineChange.SAME and each.line.section is not Section.MADE
            for each in self.lines
        )


def review_of(
    document: ConnectionDocument, serving: ConnectionDocument | None, at: datetime
) -> DocumentReview:
    """Return the review of a document; `serving` is what was approved last, if anything was."""
    documents = (serving, document) if serving else (document,)
    before = leaves_of(serving) if serving else {}
    after = leaves_of(document)
    reviewed = (_reviewed(line, document, after, serving, before) for line in lines_of(*documents))
    return DocumentReview(
        tuple(each for each in reviewed if each is not None),
        highlights(document, serving, at),
    )


def _reviewed(
    line: DocumentLine,
    document: ConnectionDocument,
    after: Leaves,
    serving: ConnectionDocument | None,
    before: Leaves,
) -> ReviewedLine | None:
    """Return the line; None if neither document has it."""
    shown_before = line.read(serving) if serving else None
    shown_after = line.read(document)
    is_same = _of(line, before) == _of(line, after)
    change = _change(shown_before, shown_after, is_same=is_same)
    if change is None:
        return None
    if line.name == "secret" and document.secret and shown_after:
        said = _said_of_secret(document.secret, serving.secret if serving else None)
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
