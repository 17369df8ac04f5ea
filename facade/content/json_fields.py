"""The top-level fields of a JSON object, read without making objects of what is below them. Pure.

A registry chooses what a manifest of 4 MiB consists of. Making an object for each of a million
empty arrays would take most of a second, in which nobody else is served. So strings and containers
are skipped and counted, and a document beyond the bounds is refused.

Below the top level, only strings and brackets are checked.
"""

import re
from collections.abc import Iterator
from typing import Final

import orjson
from attrs import define, field, frozen

from facade.errors import MalformedError
from shared.outside_bytes import Party, reads_bytes_of

# A manifest has some eight fields.
MAX_FIELDS: Final = 1024
# Names and values, at all levels. A layer or a platform has some 15, so there may be 17,000 of
# these.
MAX_STRINGS: Final = 256 * 1024
MAX_CONTAINERS: Final = 64 * 1024  # three for a platform
MAX_DEPTH: Final = 64  # an index has five
MAX_READ_VALUE_BYTES: Final = 1024  # of a field, a media type above all

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_SCALAR: Final = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
# What may stand between a container's strings and brackets; a bracket, or a string without an
# escape; a part of any string. Each match takes 10 ms at most, because no other thread runs
# meanwhile.
_BETWEEN: Final = re.compile(rb"[ \t\r\n,:0-9eE.+\-truefalsn]{0,1048576}")
_SIMPLE: Final = re.compile(rb'[{}\[\]]|"[^"\\]{0,4096}"')
_OF_STRING: Final = re.compile(rb'(?:[^"\\]{1,4096}|\\.){0,256}', re.DOTALL)
_CLOSING: Final = {b"{": b"}", b"[": b"]"}


class UnreadableJsonError(MalformedError):
    """It is no JSON object, or exceeds a bound."""


@frozen
class JsonField:
    """One field: its name and its value's bytes, None for a value too long to be of interest."""

    name: str
    value: bytes | None


@reads_bytes_of(Party.REGISTRY)
def fields_of(document: bytes, *, longest: int = MAX_READ_VALUE_BYTES) -> list[JsonField]:
    """Return all fields of an object in their order, including several of the same name.

    A value of more than `longest` bytes is left out. Raises `UnreadableJsonError`.
    """
    return _Reader(document, longest).read()


def elements_of(array: bytes) -> Iterator[bytes]:
    """Give the elements of an array, one after the other; raise `UnreadableJsonError`.

    The bounds are those of an object: many elements of no interest are only as costly as the array
    is long, and a caller may stop after enough of them.
    """
    return _Reader(array, len(array)).elements()


@define
class _Reader:
    _document: bytes
    _longest: int
    _at: int = field(default=0, init=False)
    _strings: int = field(default=0, init=False)
    _containers: int = field(default=0, init=False)

    def read(self) -> list[JsonField]:
        fields: list[JsonField] = []
        self._take(b"{")
        mark = b"}" if self._next() == b"}" else b","
        while mark == b",":
            fields.append(self._field())
            if len(fields) > MAX_FIELDS:
                raise UnreadableJsonError("more fields than a manifest has")
            mark = self._next()
            if mark == b",":
                self._at += 1
        self._take(b"}")
        if self._next():
            raise _malformed()
        return fields

    def elements(self) -> Iterator[bytes]:
        self._take(b"[")
        mark = b"]" if self._next() == b"]" else b","
        while mark == b",":
            self._next()
            start = self._at
            self._value()
            yield self._document[start : self._at]
            mark = self._next()
            if mark == b",":
                self._at += 1
        self._take(b"]")
        if self._next():
            raise _malformed()

    def _field(self) -> JsonField:
        self._next()
        start = self._at
        self._string()
        name = self._document[start : self._at]
        self._take(b":")
        self._next()
        start = self._at
        self._value()
        is_short = self._at - start <= self._longest
        value = self._document[start : self._at] if is_short else None
        try:
            return JsonField(orjson.loads(name), value)
        except orjson.JSONDecodeError:
            raise _malformed() from None

    def _value(self) -> None:
        match self._next():
            case b'"':
                self._string()
            case b"{" | b"[":
                self._container()
            case _:
                scalar = _SCALAR.match(self._document, self._at)
                if scalar is None:
                    raise _malformed()
                self._at = scalar.end()

    def _container(self) -> None:
        """Skip a container and all that is in it."""
        closing: list[bytes] = []
        while True:
            between = _BETWEEN.match(self._document, self._at)
            self._at = between.end() if between is not None else self._at
            simple = _SIMPLE.match(self._document, self._at)
            mark = simple[0] if simple is not None else b""
            self._at += len(mark)
            if mark in _CLOSING:
                closing.append(_CLOSING[mark])
                self._count_container(len(closing))
            elif mark in _CLOSING.values():
                if mark != closing.pop():
                    raise _malformed()
                if not closing:
                    return
            elif mark:
                self._count_string()
            elif between is None or between.end() == between.start():
                self._string()

    def _count_container(self, depth: int) -> None:
        self._containers += 1
        if self._containers > MAX_CONTAINERS or depth > MAX_DEPTH:
            raise UnreadableJsonError("more objects and lists than a manifest has")

    def _string(self) -> None:
        """Skip a string."""
        self._count_string()
        self._take(b'"')
        while self._pass_over(_OF_STRING):
            pass
        if self._document[self._at : self._at + 1] != b'"':
            raise _malformed()
        self._at += 1

    def _count_string(self) -> None:
        self._strings += 1
        if self._strings > MAX_STRINGS:
            raise UnreadableJsonError("more names and texts than a manifest has")

    def _next(self) -> bytes:
        """Skip white space; return the next byte, or nothing at the end."""
        self._pass_over(_SPACE)
        return self._document[self._at : self._at + 1]

    def _pass_over(self, what: re.Pattern[bytes]) -> bool:
        """Skip what may be empty; tell whether it was not."""
        before, found = self._at, what.match(self._document, self._at)
        self._at = found.end() if found is not None else before
        return self._at > before

    def _take(self, mark: bytes) -> None:
        if self._next() != mark:
            raise _malformed()
        self._at += 1


def _malformed() -> UnreadableJsonError:
    return UnreadableJsonError("the manifest is not a JSON object")
