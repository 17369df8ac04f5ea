"""A table of a suite, as lines of text. Pure."""

import itertools
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

CELL_CHARACTERS: Final = 56  # two of them and some short ones fit a wide terminal


def lines_of(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the titles, a rule and the rows, long cells wrapped; nothing if there is no row."""
    table = [titles, *rows]
    if len(table) == 1:
        return []
    wrapped = [_wrapped(row) for row in table]
    widths = [
        max(len(line[column]) for row in wrapped for line in row) for column in range(len(titles))
    ]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for row in wrapped
        for line in row
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:], ""]


def _wrapped(row: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the lines that a row takes, each cell within its column."""
    columns = [textwrap.wrap(cell, CELL_CHARACTERS) for cell in row]
    return list(itertools.zip_longest(*columns, fillvalue="")) or [("",) * len(row)]
