"""Device revocations, one a line: in a list, or as candidates for a name."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from control_plane.commands.answers import RevocationAnswer
from control_plane.commands.api_client import ItemsPage
from control_plane.commands.columns import Column, lines, with_problem
from control_plane.commands.printing import ListPrinter, terminal_width
from control_plane.commands.short_ids import short_ids

SERIAL_PREFIX: Final = "serial:"  # no device's id has a colon in this place

_ISSUER: Final = Column("ISSUER", least=12)
_NARROW: Final = (Column("ID"), Column("DEVICE", least=24), Column("REVOKED BY"))
_WIDE: Final = (*_NARROW, Column("REVOKED"), _ISSUER, Column("REASON"))


async def print_revocations(
    pages: AsyncIterator[ItemsPage[RevocationAnswer]], *, wide: bool, whole_ids: bool
) -> None:
    """Print revocations, each page as it comes.

    Ids are shortened if the first page has all that are in force.
    """
    printer = ListPrinter(wide=wide)
    async for page in pages:
        print_revocation_rows(page.items, printer, whole_ids=whole_ids or not page.is_whole)
    printer.finish("No such revocation is in force." if whole_ids else "No device is revoked.")


def print_revocation_rows(
    views: Sequence[RevocationAnswer], printer: ListPrinter, *, whole_ids: bool
) -> None:
    """Print one line a revocation."""
    names = [name_of(view) for view in views]
    told_apart = (*_NARROW, _ISSUER) if len(set(names)) < len(names) else _NARROW
    columns = with_problem(_WIDE if printer.wide else told_apart, views)
    whole = whole_ids or printer.wide
    printer.print(columns, [*_rows(views, columns, whole_ids=whole)])


def candidate_lines(views: Sequence[RevocationAnswer]) -> Iterator[str]:
    """Yield a line for each revocation that a name may mean, with its whole id."""
    columns = with_problem((*_NARROW, _ISSUER), views)
    return lines(columns, _rows(views, columns, whole_ids=True), terminal_width())


def name_of(view: RevocationAnswer) -> str:
    """Return the device or the certificate, as it is typed."""
    return view["device"] or f"{SERIAL_PREFIX}{view['serial']}"


def _rows(
    views: Sequence[RevocationAnswer], columns: Sequence[Column], *, whole_ids: bool
) -> Iterator[list[object]]:
    ids = {} if whole_ids else short_ids([view["id"] for view in views])
    for view in views:
        cells = {
            "ID": ids.get(view["id"], view["id"]),
            "DEVICE": name_of(view),
            "REVOKED BY": view["revoked_by"],
            "REVOKED": view["revoked_at"],
            "ISSUER": view["issuer"],
            "REASON": view["reason"],
            "PROBLEM": view["problem"],
        }
        yield [cells[column.header] for column in columns]
