"""Reading a query parameter by parameter: every wrong one is named, and no value is ever quoted."""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from control_plane.errors import FieldError, InvalidRequestError
from shared.outside_bytes import Party, reads_bytes_of
from shared.several_problems import problems_of

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
MAX_SEQUENCE: Final = 2**63 - 1  # of an entry of the audit log: Postgres' bigint
MAX_CURSOR_CHARACTERS: Final = 128
MAX_SHOWN_NAME_CHARACTERS: Final = 64
MAX_NAMED_UNKNOWN_PARAMETERS: Final = 20  # enough to see a typing error

ListPlace = tuple[datetime, UUID]  # of a list's item: when it was made, and its id

_Value = TypeVar("_Value")


class QueryReader:
    """Takes parameters from a query and collects what is wrong with them."""

    def __init__(self, query: Mapping[str, Sequence[str]]) -> None:
        """Hold the query: every value of each parameter."""
        self._query = query
        self._asked: set[str] = set()
        self.errors: list[FieldError] = []

    def wrong(self, name: str, detail: str) -> None:
        """Note that a parameter is wrong."""
        self.errors.append(FieldError("", detail, parameter=name))

    def given(self, name: str) -> bool:
        """Tell whether the parameter is there; it counts as known."""
        self._asked.add(name)
        return name in self._query

    def text(self, name: str, parse: Callable[[str], _Value]) -> _Value | None:
        """Return the parsed value of a parameter; None if it is absent or wrong."""
        if not self.given(name):
            return None
        values = self._query[name]
        if len(values) > 1:
            self.wrong(name, "given more than once")
            return None
        try:
            return parse(values[0])
        except ValueError as error:
            for problem in problems_of(error):
                self.wrong(name, problem)
            return None

    def switch(self, name: str, *, default: bool) -> bool:
        """Return a parameter that is `true` or `false`."""
        value = self.text(name, parse_switch)
        return default if value is None else value

    def limit(self) -> int:
        """Return how many items a page has."""
        return self.text("limit", parse_limit) or DEFAULT_LIMIT

    def place(self) -> ListPlace | None:
        """Return the place that a list's `cursor` names."""
        return self.text("cursor", parse_place)

    def finish(self) -> None:
        """Raise `InvalidRequestError` if anything was wrong, as parameters are that nobody read."""
        unknown = sorted(set(self._query) - self._asked)
        for name in unknown[:MAX_NAMED_UNKNOWN_PARAMETERS]:
            self.wrong(name[:MAX_SHOWN_NAME_CHARACTERS], "there is no such parameter")
        if self.errors:
            raise InvalidRequestError(tuple(self.errors))

    @contextmanager
    def finishing_with_body(self) -> Iterator[None]:
        """Finish after a block that reads the body: the errors of both are raised together."""
        try:
            yield
        except InvalidRequestError as wrong_body:
            try:
                self.finish()
            except InvalidRequestError as wrong_query:
                errors = (*wrong_query.errors, *wrong_body.errors)
                raise InvalidRequestError(errors) from None
            raise
        self.finish()


def parse_switch(text: str) -> bool:
    """Return the value of `true` or `false`."""
    if text not in {"true", "false"}:
        raise ValueError("expected true or false")
    return text == "true"


def parse_limit(text: str) -> int:
    """Return how many items a page has."""
    return parse_number(text, 1, MAX_LIMIT, f"expected 1 to {MAX_LIMIT}")


def parse_number(text: str, least: int, most: int, expected: str) -> int:
    """Return a whole number in ASCII digits, within bounds."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most))):
        raise ValueError(expected)
    if not least <= int(text) <= most:
        raise ValueError(expected)
    return int(text)


def parse_sequence(text: str) -> int:
    """Return the place of an audit entry in the log."""
    return parse_number(text, 0, MAX_SEQUENCE, "expected the sequence of an entry")


@reads_bytes_of(Party.OPERATOR)
def parse_place(text: str) -> ListPlace:
    """Return the place that a `next_cursor` of `format_place` means."""
    try:
        moment, item = (
            base64.b64decode(text[:MAX_CURSOR_CHARACTERS], altchars=b"-_", validate=True)
            .decode("ascii")
            .split(" ")
        )
        place = datetime.fromisoformat(moment), UUID(item)
    except (ValueError, binascii.Error):
        place = None
    if place is None or place[0].tzinfo is None:
        raise ValueError("expected the next_cursor of a page")
    return place


def format_place(place: ListPlace | None) -> str | None:
    """Return the `next_cursor` of a place in a list."""
    if place is None:
        return None
    return base64.urlsafe_b64encode(f"{place[0].isoformat()} {place[1]}".encode()).decode()
