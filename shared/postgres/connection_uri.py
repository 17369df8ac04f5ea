"""libpq's connection URI becomes keywords and values. Pure; what they mean is not decided here.

    postgresql://[user[:password]@][host[:port][,...]][/dbname][?keyword=value[&...]]

PostgreSQL's documentation, "Connection URIs", and what `fe-connect.c` makes of it: every part may
be percent-encoded, a keyword of the query wins over the same part before it, and `+` is a plus. A
value may hold `=`, unlike libpq's. A database's name may hold no bare `@` or `/`: they more often
belong to a password that nobody encoded.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from attrs import field, frozen

from shared.setting_types import InvalidSettingError

EXPECTED: Final = (
    "a PostgreSQL URL such as postgresql://user:password@host/database?sslmode=verify-full"
)
MAX_SHOWN_KEYWORD_CHARACTERS: Final = 40

_SCHEME: Final = re.compile(r"postgres(?:ql)?://")
_USER_INFO: Final = re.compile(r"(?P<user>[^@/:]*)(?::(?P<password>[^@/]*))?@")
_PLACE: Final = re.compile(
    r"(?:\[(?P<six>[^\]\[@,]+)\]|(?P<name>[^:@,\[\]]*))(?::(?P<port>[^@,]*))?"
)
_BAD_ENCODING: Final = re.compile(r"%(?![0-9a-fA-F]{2})|%00", re.ASCII)
_KEYWORD: Final = re.compile(rf"[a-zA-Z_]{{1,{MAX_SHOWN_KEYWORD_CHARACTERS}}}", re.ASCII)
_JDBC: Final = ("ssl", "true")


@frozen
class ConnectionUri:
    """The keywords of a URI with their values, in the order in which they were first named."""

    values: Mapping[str, str] = field(repr=False)  # one of them is the password
    has_loose_at: bool  # an `@` behind the host: perhaps a password was not percent-encoded

    def shown(self, keyword: str) -> str:
        """Return a keyword that libpq does not have, or words if it may be part of a secret."""
        if self.has_loose_at or _KEYWORD.fullmatch(keyword) is None:
            return "a parameter of the query"
        return keyword


def parse_connection_uri(text: str) -> ConnectionUri:
    """Return what a URI says; raise `InvalidSettingError`, which quotes nothing of it."""
    scheme = _SCHEME.match(text)
    if scheme is None or any(ord(letter) < ord(" ") or letter == "\x7f" for letter in text):
        raise InvalidSettingError(f"expected {EXPECTED}")
    rest = text[scheme.end() :]
    user_info = _USER_INFO.match(rest)
    rest = rest[user_info.end() :] if user_info else rest
    values: dict[str, str] = {}
    if user_info:
        _put(values, "user", user_info["user"])
        _put(values, "password", user_info["password"] or "")
    authority, path, query = _split(rest)
    places = [_place(place) for place in authority.split(",")]
    if authority:
        _put(values, "host", ",".join(name for name, _ in places))
    if any(port for _, port in places):
        _put(values, "port", ",".join(port for _, port in places))
    if "/" in path or "@" in path:
        raise InvalidSettingError(
            "dbname: @ and / are percent-encoded in it, and in a password before it"
        )
    _put(values, "dbname", path)
    values.update(_query(query))
    return ConnectionUri(values, has_loose_at="@" in rest)


def _split(rest: str) -> tuple[str, str, str]:
    before, _, query = rest.partition("?")
    authority, _, path = before.partition("/")
    return authority, path, query


def _place(text: str) -> tuple[str, str]:
    """Return host and port of one place, both still encoded."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise InvalidSettingError(
            "the host is none; @ : / and [ in a user name or password are percent-encoded"
        )
    return match["six"] or match["name"], match["port"] or ""


def _query(query: str) -> Iterator[tuple[str, str]]:
    for pair in query.removesuffix("&").split("&") if query else ():
        keyword, equals, value = pair.partition("=")
        if not equals:
            raise InvalidSettingError("a parameter of the query has no value: expected name=value")
        named, read = _decoded(keyword, "the query"), _decoded(value, "the query")
        # "for compatibility with JDBC", as libpq has it
        yield ("sslmode", "require") if (named, read) == _JDBC else (named, read)


def _put(values: dict[str, str], keyword: str, encoded: str) -> None:
    if encoded:
        values[keyword] = _decoded(encoded, keyword)


def _decoded(text: str, part: str) -> str:
    """Return percent-encoded UTF-8 as text; raise `InvalidSettingError` with the part's name."""
    try:
        if _BAD_ENCODING.search(text):
            raise ValueError
        return unquote_to_bytes(text).decode()
    except ValueError:  # UnicodeDecodeError is one
        raise InvalidSettingError(f"{part}: expected percent-encoded UTF-8 text") from None
