"""Columns as `kubectl get` prints them: an upper-case header and one line a row. Pure.

No line is ever folded. If lines have to fit a terminal, the columns that may be cut are cut, from
the last to the first; an id never is. Widths are counted in a terminal's cells: a Chinese letter
takes two, and a combining accent none.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import click
from attrs import define, field, frozen
from rich.cells import cell_len, set_cell_size

GAP: Final = "  "
NOTHING: Final = "-"  # a cell is never empty, so that a row splits into its columns
CUT: Final = "…"


@frozen
class Column:
    """A column's header, and to how many cells it may be cut; None: it is never cut.

    `colour` returns which colour of a terminal underlines what a cell says; None: none.
    """

    header: str
    least: int | None = None
    colour: Callable[[str], str | None] | None = None


def lines(
    columns: Sequence[Column], rows: Iterable[Iterable[object]], width: int | None
) -> Iterator[str]:
    """Yield the header and the rows; with a width of None nothing is cut."""
    return Table(columns, width).lines(rows)


@define
class Table:
    """Rows that arrive a few at a time: a column grows with its widest cell, and never shrinks."""

    columns: Sequence[Column]
    width: int | None
    is_coloured: bool = False
    _widths: list[int] = field(factory=list, init=False)

    def lines(self, rows: Iterable[Iterable[object]]) -> Iterator[str]:
        """Yield the next rows, with the header before the first of all."""
        heads = 0 if self._widths else 1
        cells = [[column.header for column in self.columns]] * heads
        cells += ([_cell(value) for value in row] for row in rows)
        before = [self._widths] if self._widths else []
        found = ([cell_len(cell) for cell in row] for row in cells)
        self._widths = [max(column) for column in zip(*before, *found, strict=True)]
        widths = self._widths
        if self.width is not None:
            widths = _fitted(widths, self.columns, self.width)
        for number, row in enumerate(cells):
            is_head = number < heads
            *first, last = (
                self._shown(_cut(cell, widths[at]), at, is_head=is_head)
                for at, cell in enumerate(row)
            )
            padded = (text + " " * (widths[at] - size) for at, (text, size) in enumerate(first))
            yield GAP.join([*padded, last[0]])

    def _shown(self, cell: str, at: int, *, is_head: bool) -> tuple[str, int]:
        """Return a cell as a terminal is sent it, and how many cells of it that takes."""
        colour = self.columns[at].colour
        if is_head or not self.is_coloured or colour is None:
            return cell, cell_len(cell)
        return click.style(cell, fg=colour(cell)), cell_len(cell)


def problem_colour(cell: str) -> str | None:
    """Return the colour of a problem."""
    return None if cell == NOTHING else "red"


PROBLEM: Final = Column("PROBLEM", least=12, colour=problem_colour)


def with_problem(
    columns: tuple[Column, ...], views: Sequence[Mapping[str, Any]]
) -> tuple[Column, ...]:
    """Return the columns, and one for problems if any of the API's views has one."""
    return (*columns, PROBLEM) if any(view["problem"] for view in views) else columns


def one_line(text: str) -> str:
    """Return a text in which what could steer a terminal, or deceive its reader, is escaped."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def _cell(value: object) -> str:
    return NOTHING if value is None or value == "" else one_line(str(value))


def _fitted(widths: list[int], columns: Sequence[Column], width: int) -> list[int]:
    """Return widths whose sum fits, where the columns allow it."""
    fitted = [*widths]
    for at in reversed(range(len(columns))):
        least = columns[at].least
        over = sum(fitted) + len(GAP) * (len(fitted) - 1) - width
        if least is not None and over > 0:
            fitted[at] = max(min(least, fitted[at]), fitted[at] - over)
    return fitted


def _cut(cell: str, width: int) -> str:
    if cell_len(cell) <= width:
        return cell
    return set_cell_size(cell, width - cell_len(CUT)).rstrip() + CUT


def to_the_second(time: str) -> str:
    """Return a time of an answer as tables show it: RFC 3339 in UTC, without the fraction."""
    return f"{time[: len('2030-01-31T12:00:00')]}Z" if time else ""
