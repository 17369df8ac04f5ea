"""Connections, one a line: in a list, or as candidates for a name that fits several."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

from control_plane.commands.answers import (
    ConnectionStateAnswer,
    IdentityAnswer,
    ListedConnectionAnswer,
    PlaceAnswer,
)
from control_plane.commands.api_client import ItemsPage
from control_plane.commands.columns import Column, lines, with_problem
from control_plane.commands.printing import ListPrinter, terminal_width
from control_plane.commands.short_ids import short_ids

ConnectionsPage = ItemsPage[ListedConnectionAnswer]

_REGISTRY: Final = Column("REGISTRY", least=16)
_AS: Final = Column("AS", least=4)  # the longest usual hosts (ECR's) leave no more room
_COLOURS: Final = {
    "approved": "green",
    "pending": "yellow",
    "sent back": "yellow",
    "not served": "red",
}


def status_colour(cell: str) -> str | None:
    """Return the colour of a status; what has ended has none."""
    return _COLOURS.get(cell.partition("+")[0])


_NARROW: Final = (Column("ID"), _REGISTRY, Column("STATUS", colour=status_colour), _AS)
_WIDE: Final = (
    *_NARROW,
    Column("PROVIDER"),
    Column("CONNECTED BY"),
    Column("CONNECTED"),
    Column("APPROVED BY"),
    Column("APPROVED"),
    Column("EXPIRES"),
    Column("DESCRIPTION"),
)


async def print_connections(pages: AsyncIterator[ConnectionsPage], printer: ListPrinter) -> None:
    """Print connections, each page as it comes.

    Ids are shortened if the first page has all of them: only then is it known which are alike.
    """
    wide = printer.wide
    async for page in pages:
        columns = with_problem(_WIDE if wide else _NARROW, page.items)
        whole_ids = wide or not page.is_whole
        printer.print(columns, [*_rows(page.items, columns, whole_ids=whole_ids)])


async def one_page(views: list[ListedConnectionAnswer]) -> AsyncIterator[ConnectionsPage]:
    """Yield these connections, of which there are perhaps more: their ids are not shortened."""
    yield ItemsPage(views, is_whole=False)


def candidate_lines(views: Sequence[ListedConnectionAnswer]) -> Iterator[str]:
    """Yield a line for each connection that a name may mean, with its whole id."""
    columns = with_problem(_NARROW, views)
    return lines(columns, _rows(views, columns, whole_ids=True), terminal_width())


def called(view: Mapping[str, Any], name: str | None) -> str:
    """Return what people call somebody whom a view names: a person of single sign-on by name."""
    return str(view.get("names", {}).get(name, name))


def place_of(view: PlaceAnswer) -> str:
    """Return `host` or `host/prefix`, as it is typed."""
    return "/".join(part for part in (view["host"], view["repository_prefix"]) if part)


def identity_of(view: IdentityAnswer) -> str | None:
    """Return as whom the connection logs in at the registry."""
    if view["google"]:
        return view["google"]["client_email"]
    if view["ecr"]:
        return view["ecr"]["role_arn"]
    return "anonymous" if view["anonymous"] else view["username"]


def is_served(view: ConnectionStateAnswer) -> bool:
    """Tell whether it is served, as far as it was approved; older control planes do not say."""
    return view["status"] != "approved" or bool(view.get("serves", True))


def _status(view: ListedConnectionAnswer) -> str:
    """Return the status, and what waits beside it.

    What was approved but is not served is not called approved, and a draft that an approver sent
    back does not wait for one.
    """
    if view["draft"]:
        waits = "sent back" if view["draft"].get("sent_back") else "draft"
        return f"{_own_status(view)}+{waits}"
    return "sent back" if view.get("sent_back") else _own_status(view)


def _own_status(view: ConnectionStateAnswer) -> str:
    return view["status"] if is_served(view) else "not served"


def _rows(
    views: Sequence[ListedConnectionAnswer], columns: Sequence[Column], *, whole_ids: bool
) -> Iterator[list[object]]:
    ids = {} if whole_ids else short_ids([view["id"] for view in views])
    for view in views:
        cells = {
            "ID": ids.get(view["id"], view["id"]),
            "REGISTRY": place_of(view),
            "STATUS": _status(view),
            "AS": identity_of(view),
            "PROVIDER": view["provider"],
            "CONNECTED BY": called(view, view["connected_by"]) if view["connected_by"] else None,
            "CONNECTED": view["connected_at"],
            "APPROVED BY": called(view, view["approved_by"]) if view["approved_by"] else None,
            "APPROVED": view["approved_at"],
            "EXPIRES": view["expires_at"],
            "DESCRIPTION": view["description"],
            "PROBLEM": view["problem"],
        }
        yield [cells[column.header] for column in columns]
