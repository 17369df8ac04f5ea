"""Connections: the list, with a filter and a search that live in the address."""

from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from attrs import evolve, frozen

from control_plane.clock import Clock
from control_plane.connections import operations
from control_plane.connections.filter import ConnectionFilter, read_filter
from control_plane.connections.reader import ConnectionReader
from control_plane.console.connection_words import PROVIDERS, STATUSES, ListedConnection
from control_plane.console.page import ConsoleForm, ConsolePage, ConsoleSection, PageView
from control_plane.console.visit import Visit
from control_plane.reading.query_reader import QueryReader, format_place, parse_number

ITEMS_OF_A_PAGE: Final = 50
MAX_DAYS: Final = 366  # ahead, of what ends
_KEPT: Final = ("search", "status", "provider", "problem", "ends_within")


@frozen
class ConnectionListPages:
    """The list."""

    reader: ConnectionReader
    clock: Clock

    def pages(self) -> tuple[ConsolePage, ...]:
        """Return the page."""
        return (
            ConsolePage(
                path=ConsoleSection.CONNECTIONS.path,
                operation=operations.LIST,
                section=ConsoleSection.CONNECTIONS,
                show=self.show,
            ),
        )

    def forms(self) -> tuple[ConsoleForm, ...]:
        """Return nothing: the filter is a link."""
        return ()

    async def show(self, visit: Visit) -> PageView:
        """Show a page of the connections that the filter fits."""
        query = visit.query()
        wanted, after = self._wanted(query), query.place()
        query.finish()
        page = await self.reader.list(wanted, after=after, limit=ITEMS_OF_A_PAGE)
        given = {name: visit.request.query.get(name, "") for name in _KEPT}
        kept = {name: text for name, text in given.items() if text}
        following = format_place(page.next_place)
        return PageView(
            "connections.html",
            "Connections",
            {
                "connections": [ListedConnection.of(view) for view in page.items],
                "given": given,
                "is_filtered": bool(kept),
                "is_first": after is None,
                "first_url": _url(kept),
                "next_url": _url({**kept, "cursor": following}) if following else None,
                "statuses": [(each.value, words) for each, words in STATUSES.items()],
                "providers": [(each.value, words) for each, words in PROVIDERS.items()],
                "may_connect": visit.may(operations.CONNECT),
            },
        )

    def _wanted(self, query: QueryReader) -> ConnectionFilter:
        wanted, days = read_filter(query), query.text("ends_within", _parse_days)
        return wanted if days is None else evolve(wanted, expires_before=self.clock() + days)


def _parse_days(text: str) -> timedelta:
    return timedelta(days=parse_number(text, 1, MAX_DAYS, f"expected 1 to {MAX_DAYS} days"))


def _url(parameters: dict[str, str]) -> str:
    query = urlencode(parameters)
    return f"{ConsoleSection.CONNECTIONS.url}?{query}" if query else ConsoleSection.CONNECTIONS.url
