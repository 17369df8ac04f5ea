"""The lines of a document in sections, as templates show them. Pure."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from control_plane.review.document_lines import Section

Line = dict[str, Any]


def sections_of(lines: Iterable[Line]) -> list[tuple[str, list[Line]]]:
    """Return the lines of a review's view by section, each with its heading."""
    return [
        (Section(name).heading, list(some))
        for name, some in groupby(lines, key=lambda line: line["section"])
    ]
