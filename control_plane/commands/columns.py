"""Columns as `kubectl get` prints them: an upper-case header and one line a row. Pure.

No line is ever folded. If lines have to fit a terminal, the columns that may be cut are cut, from
the last to the first; an id never is. Widths are counted in a terminal's cells: a Chinese letter
takes two, and a combining accent none.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import define, field, frozen
from rich.cells import cell_len, set_cell_size

GAP: Final = "  "
NOTHING: Final = "-"  # a cell is never empty, so that a row splits into its columns
CUT: Final = "…"


@frozen
class Column:
    """A column's header, and to how many cells it may be cut; None: it is never cut."""

    header: str
    least: int | None = None


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
    _widths: list[int] = field(factory=list, init=False)

    def lines(self, rows: Iterable[Iterable[object]]) -> Iterator[str]:
        """Yield the next rows, with the header before the first of all."""
        cells = [] if self._widths else [[column.header for column in self.columns]]
        cells += ([_cell(value) for value in row] for row in rows)
        before = [self._widths] if self._widths else []
        found = ([cell_len(cell) for cell in row] for row in cells)
        self._widths = [max(column) for column in zip(*before, *found, strict=True)]
        widths = self._widths
        if self.width is not None:
            widths = _fitted(widths, self.columns, self.width)
        for row in cells:
            *first, last = (_cut(cell, widths[at]) for at, cell in enumerate(row))
            padded = (cell + " " * (widths[at] - cell_len(cell)) for at, cell in enumerate(first))
            yield GAP.join([*padded, last])


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
