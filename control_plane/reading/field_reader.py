"""Reading a JSON object field by field: every wrong field is named, and no value is ever quoted."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import orjson

from control_plane.errors import FieldError, InvalidRequestError, UnreadableBodyError
from control_plane.reading.repeated_names import pointer, repeated_names
from shared.outside_bytes import Party, reads_bytes_of
from shared.several_problems import problems_of

MAX_NAMED_UNKNOWN_FIELDS: Final = 20  # enough to see a typing error; a body has room for thousands
TWICE: Final = "given more than once"

_Value = TypeVar("_Value")


@reads_bytes_of(Party.OPERATOR)
def read_object(body: bytes) -> Mapping[str, object]:
    """Return the JSON object of a body.

    Raises `UnreadableBodyError`, which quotes nothing, or `InvalidRequestError` that names what is
    given more than once.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:  # its `doc` holds the body
        value = None
    if not isinstance(value, dict):
        raise UnreadableBodyError("the body is not a JSON object in UTF-8") from None
    _require_once(body)
    return value


def _require_once(body: bytes) -> None:
    try:
        repeated = repeated_names(body, at_most=MAX_NAMED_UNKNOWN_FIELDS)
    except RecursionError:
        raise UnreadableBodyError("the body is nested too deep") from None
    if repeated:
        raise InvalidRequestError(tuple(FieldError(each, TWICE) for each in repeated))


class FieldReader:
    """Takes fields from an object and collects what is wrong with them."""

    def __init__(self, body: Mapping[str, object]) -> None:
        """Hold the object."""
        self._body = body
        self._asked: set[str] = set()
        self.errors: list[FieldError] = []

    def has(self, name: str) -> bool:
        """Tell whether the field is there and not null; the field counts as known."""
        self._asked.add(name)
        return self._body.get(name) is not None

    def given(self, name: str) -> bool:
        """Tell whether the field is there, even as null; the field counts as known."""
        self._asked.add(name)
        return name in self._body

    def wrong(self, pointer: str, detail: str) -> None:
        """Note that a field is wrong."""
        self.errors.append(FieldError(pointer, detail))

    def is_wrong(self, name: str) -> bool:
        """Tell whether anything was noted about a field, or about an item in it."""
        at = f"/{name}"
        return any(each.pointer == at or each.pointer.startswith(f"{at}/") for each in self.errors)

    def text(
        self, name: str, parse: Callable[[str], _Value], *, required: bool = False
    ) -> _Value | None:
        """Return the parsed text of a field; None if it is absent, null or wrong."""
        if not self.has(name):
            if required:
                self.wrong(f"/{name}", "this field is required")
            return None
        return self._parsed(f"/{name}", self._body[name], parse)

    def json_object(
        self,
        name: str,
        parse: Callable[[Mapping[str, object]], _Value],
        *,
        required: bool = False,
    ) -> _Value | None:
        """Return the parsed object of a field; None if it is absent, null or wrong."""
        if not self.has(name):
            if required:
                self.wrong(f"/{name}", "this field is required")
            return None
        value = self._body[name]
        if not isinstance(value, dict):
            self.wrong(f"/{name}", "expected a JSON object")
            return None
        try:
            return parse(value)
        except ValueError as error:  # its message names the fields inside the object
            self.wrong(f"/{name}", str(error))
            return None

    def texts(
        self, name: str, parse: Callable[[str], _Value], *, at_most: int
    ) -> tuple[_Value, ...]:
        """Return the parsed texts of a list, in order and without repetitions."""
        items = self._body[name] if self.has(name) else []
        if not isinstance(items, list):
            self.wrong(f"/{name}", "expected a list of texts")
            return ()
        if len(items) > at_most:
            self.wrong(f"/{name}", f"expected at most {at_most} items")
        parsed = (
            self._parsed(f"/{name}/{index}", item, parse)
            for index, item in enumerate(items[:at_most])
        )
        return tuple(dict.fromkeys(value for value in parsed if value is not None))

    def objects(self, name: str, *, at_most: int) -> list[Mapping[str, object]]:
        """Return the objects of a list, at least one; none if the list is wrong."""
        items = self._body[name] if self.has(name) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            self.wrong(f"/{name}", "expected a list of JSON objects")
            return []
        if not 1 <= len(items) <= at_most:
            self.wrong(f"/{name}", f"expected 1 to {at_most} items")
            return []
        return items

    def flag(self, name: str) -> bool:
        """Return true or false; false if the field is absent, null or wrong."""
        value = self._body[name] if self.has(name) else False
        if type(value) is not bool:
            self.wrong(f"/{name}", "expected true or false")
            return False
        return value

    def refusal(self) -> InvalidRequestError:
        """Return the error that names all that is wrong, and the fields that nobody read."""
        unknown = sorted(self._body.keys() - self._asked)
        for name in unknown[:MAX_NAMED_UNKNOWN_FIELDS]:
            self.wrong(pointer(name), "there is no such field")
        return InvalidRequestError(tuple(self.errors))

    def finish(self) -> None:
        """Raise `InvalidRequestError` if anything was wrong, as fields are that nobody read."""
        if (refusal := self.refusal()).errors:
            raise refusal

    def _parsed(self, pointer: str, value: object, parse: Callable[[str], _Value]) -> _Value | None:
        if not isinstance(value, str):
            self.wrong(pointer, "expected a text")
            return None
        try:
            return parse(value)
        except ValueError as error:
            for problem in problems_of(error):
                self.wrong(pointer, problem)
            return None
