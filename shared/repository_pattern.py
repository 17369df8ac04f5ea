"""Patterns on a repository's full name: which repositories a connection may serve.

`*` stands for any characters within one component, `**` for one or more whole components.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Self

from attrs import frozen

from shared.oci import MAX_REPOSITORY_NAME_CHARACTERS, RepositoryName
from shared.safe_message import SafeMessage

_COMPONENT: Final = re.compile(r"\*\*|[a-z0-9._*-]+", re.ASCII)
_TWO_STARS_INSIDE: Final = re.compile(r".\*\*|\*\*.")
_PIECE: Final = re.compile(r"\*\*|.")


class InvalidRepositoryPatternError(SafeMessage, ValueError):
    """The text is not a repository pattern."""


@frozen
class RepositoryPattern:
    """A pattern such as `team/*/gateway` or `models/**`."""

    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the pattern; raise `InvalidRepositoryPatternError` for anything else."""
        if len(text) > MAX_REPOSITORY_NAME_CHARACTERS or not all(
            _COMPONENT.fullmatch(part) and not _TWO_STARS_INSIDE.search(part)
            for part in text.split("/")
        ):
            raise InvalidRepositoryPatternError(
                "a repository pattern is components of a-z, 0-9, '.', '_', '-' and '*', "
                "or '**' alone for one or more components, joined by '/'"
            )
        return cls(text)

    def matches(self, repository: RepositoryName) -> bool:
        """Tell whether the whole name fits the pattern."""
        return RepositoryPatterns.of((self,)).match(repository)

    def __str__(self) -> str:
        """Return the pattern itself."""
        return self.value


@frozen
class RepositoryPatterns:
    """Many patterns, tried together in one pass over a name.

    A device chooses the name, so nothing is tried twice. Each character of the name costs the same
    four operations on whole numbers, which have a bit for each character of the patterns. (256
    patterns of 255 characters, and a name of 255, take about a millisecond.)

    A set bit says that a pattern is matched up to this character (Shift-And of Baeza-Yates and
    Gonnet, "A new approach to text searching", 1992). A star has no bit of its own. It lets the bit
    of the character before it stay: over everything but `/` (`*`), or over everything (`**`).
    """

    _begins: int  # nothing of a pattern is matched yet
    _ends: int  # a whole pattern is matched
    _steps: Mapping[str, int]  # bits that this character of a name leads to
    _steps_of_any: int  # bits that every character leads to: the first one of `**`
    _stays_within: int  # bits that stay until the component ends
    _stays: int  # bits that stay over its end, too

    @classmethod
    def of(cls, patterns: Iterable[RepositoryPattern]) -> Self:
        """Return the patterns, ready to be tried."""
        begins = ends = steps_of_any = stays_within = stays = 0
        steps: dict[str, int] = {}
        bit = 1
        for pattern in patterns:
            begins |= bit
            for piece in _PIECE.findall(pattern.value):
                if piece == "*":
                    stays_within |= bit
                    continue
                bit <<= 1
                if piece == "**":  # one character at the least, then any
                    steps_of_any |= bit
                    stays |= bit
                else:
                    steps[piece] = steps.get(piece, 0) | bit
            ends |= bit
            bit <<= 1
        every_step = {letter: bits | steps_of_any for letter, bits in steps.items()}
        return cls(begins, ends, every_step, steps_of_any, stays_within | stays, stays)

    def match(self, repository: RepositoryName) -> bool:
        """Tell whether the whole name fits any of the patterns."""
        matched = self._begins
        for letter in str(repository):
            stays = self._stays if letter == "/" else self._stays_within
            stepped = (matched << 1) & self._steps.get(letter, self._steps_of_any)
            matched = stepped | (matched & stays)
            if not matched:
                return False
        return bool(matched & self._ends)
