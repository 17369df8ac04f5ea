"""How a list is answered: with views, a page at a time."""

from datetime import UTC, datetime
from typing import Final

from attrs import frozen

from control_plane.reading.query_reader import ListPlace

View = dict[str, object]  # the JSON object of one thing, as the API shows it
WITHOUT_ROW: Final = datetime(9999, 1, 1, tzinfo=UTC)  # the place of what has none: after all rows


@frozen
class Page:
    """A page of a list, and where the next one begins."""

    items: list[View]
    next_place: ListPlace | None
