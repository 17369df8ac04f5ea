"""Reads single parameters, and collects what is wrong with them. Pure.

It names every wrong parameter, by its keyword or its variable, and quotes no value.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from attrs import define, field, frozen

from shared.postgres.connection_uri import ConnectionUri
from shared.postgres.libpq import FIXED, VARIABLES
from shared.secret import Secret
from shared.setting_types import parse_path

_INTEGER: Final = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_ALIASES: Final = {"database": "dbname"}  # as asyncpg calls it in its URLs
_CLOSE: Final = 0.8  # `ssl_mode` means `sslmode`; `statement_timeout` means nothing of ours
_REQUIRE_SSL: Final = {"1": "require", "0": "prefer"}  # libpq's `requiressl`, before `sslmode`

_Member = TypeVar("_Member", bound=StrEnum)


@frozen
class _Given:
    text: str = field(repr=False)
    shown: str  # the keyword, or the variable that says it


@define
class ParameterReader:
    """The parameters of a URL, completed by those of the environment."""

    _uri: ConnectionUri
    _given: dict[str, _Given]
    _asked: set[str] = field(factory=set, init=False)
    problems: list[str] = field(factory=list, init=False)

    @classmethod
    def of(cls, uri: ConnectionUri, variables: Mapping[str, str]) -> "ParameterReader":
        """Return a reader; an empty variable is none."""
        given = {
            keyword: _Given(variables[variable], variable)
            for variable, keyword in VARIABLES.items()
            if variables.get(variable)
        }
        for keyword, text in uri.values.items():
            given[_ALIASES.get(keyword, keyword)] = _Given(text, keyword)
        legacy = given.get("requiressl")
        if legacy is not None and legacy.text in _REQUIRE_SSL:
            del given["requiressl"]
            given.setdefault("sslmode", _Given(_REQUIRE_SSL[legacy.text], legacy.shown))
        return cls(uri, given)

    def wrong(self, keyword: str, problem: str) -> None:
        """Note that a parameter is wrong."""
        shown = self._given[keyword].shown if keyword in self._given else keyword
        self.problems.append(f"{shown}: {problem}")

    def has(self, keyword: str) -> bool:
        """Whether a parameter is given."""
        return keyword in self._given

    def is_in_uri(self, keyword: str) -> bool:
        """Whether the URL itself gives a parameter."""
        return keyword in self._uri.values

    def text(self, keyword: str) -> str | None:
        """Return a text; an empty one is none."""
        self._asked.add(keyword)
        given = self._given.get(keyword)
        return given.text or None if given else None

    def secret(self, keyword: str) -> Secret | None:
        """Return a secret; an empty one is none."""
        text = self.text(keyword)
        return None if text is None else Secret(text)

    def path(self, keyword: str) -> Path | None:
        """Return a path."""
        text = self.text(keyword)
        if text is None and self.has(keyword):
            self.wrong(keyword, "expected a path")
        return None if text is None else parse_path(text)

    def choice(self, keyword: str, members: type[_Member], default: _Member) -> _Member:
        """Return one of libpq's words."""
        self._asked.add(keyword)
        given = self._given.get(keyword)
        if given is None:
            return default
        if given.text not in list(members):
            self.wrong(keyword, f"expected one of {', '.join(members)}")
            return default
        return members(given.text)

    def number(self, keyword: str, least: int, most: int, unit: str = "") -> int | None:
        """Return a whole number."""
        self._asked.add(keyword)
        given = self._given.get(keyword)
        if given is None:
            return None
        number = int(given.text) if _INTEGER.fullmatch(given.text) else least - 1
        if not least <= number <= most:
            self.wrong(keyword, f"expected {least} to {most}{unit}")
            return None
        return number

    def finish(self) -> None:
        """Refuse the parameters that nobody read: unknown and unsupported ones."""
        for keyword in self._given:
            if keyword in FIXED:
                self._require_fixed(keyword)
            elif keyword not in self._asked:
                self._refuse_unknown(keyword)

    def _require_fixed(self, keyword: str) -> None:
        fixed = FIXED[keyword]
        if self._given[keyword].text.lower() not in fixed.accepted:
            expected = f"; expected {' or '.join(fixed.accepted)}" if fixed.accepted else ""
            self.wrong(keyword, f"cannot be honoured, {fixed.why}{expected}")

    def _refuse_unknown(self, keyword: str) -> None:
        known = [*self._asked, *FIXED]
        meant = get_close_matches(keyword, known, n=1, cutoff=_CLOSE)
        guess = f"; did you mean {meant[0]}?" if meant else ""
        self.problems.append(
            f"{self._uri.shown(keyword)}: PostgreSQL's clients have no such parameter{guess}"
            " (a server's setting goes into options=-c%20name=value)"
        )
