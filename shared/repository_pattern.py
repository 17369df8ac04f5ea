"""Patterns on a repository's full name: which repositories a connection may serve.

`*` stands for any characters within one component, `**` for one or more whole components.
"""

import re
from fnmatch import fnmatchcase
from typing import Final, Self

from attrs import frozen

from shared.oci import MAX_REPOSITORY_NAME_CHARACTERS, RepositoryName
from shared.safe_message import SafeMessage

_COMPONENT: Final = re.compile(r"\*\*|[a-z0-9._*-]+", re.ASCII)
_TWO_STARS_INSIDE: Final = re.compile(r".\*\*|\*\*.")


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
            message = (
                "a repository pattern is components of a-z, 0-9, '.', '_', '-' and '*', "
                "or '**' alone for one or more components, joined by '/'"
            )
            raise InvalidRepositoryPatternError(message)
        return cls(text)

    def matches(self, repository: RepositoryName) -> bool:
        """Tell whether the whole name fits the pattern.

        The work is bounded by the product of the lengths: as one regular expression, five stars
        and a name of 200 letters took 19 s.
        """
        components = repository.components
        reached = {0}  # how many components the parts so far may have taken
        for part in self.value.split("/"):
            if part == "**":
                reached = set(range(min(reached, default=len(components)) + 1, len(components) + 1))
            else:
                reached = {
                    taken + 1
                    for taken in reached
                    if taken < len(components) and fnmatchcase(components[taken], part)
                }
        return len(components) in reached

    def __str__(self) -> str:
        """Return the pattern itself."""
        return self.value
