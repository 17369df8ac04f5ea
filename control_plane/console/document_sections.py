"""The lines of a document in sections, as templates show them. Pure."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from control_plane.review.document_lines import Section
from control_plane.review.review import MAKING, LineChange

Line = dict[str, Any]


Sections = list[tuple[str, list[Line]]]


def changed_and_same(lines: Iterable[Line]) -> tuple[Sections, Sections]:
    """Return the terms that a draft changes, and the other lines, each by section.

    Who made it, and when, is no term.
    """
    changed, same = list[Line](), list[Line]()
    for line in lines:
        is_same = line["change"] == LineChange.SAME.value or line["name"] in MAKING
        (same if is_same else changed).append(line)
    return sections_of(changed), sections_of(same)


def sections_of(lines: Iterable[Line]) -> Sections:
    """Return the lines of a review's view by section, each with its heading."""
    return [
        (Section(name).heading, list(some))
        for name, some in groupby(lines, key=lambda line: line["section"])
    ]
