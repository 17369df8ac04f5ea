"""Patterns on a repository's full name: which repositories a connection may serve.

`*` stands for any characters within one component, `**` for one or more whole components.
"""

import re
from functools import cached_property
from typing import Final, Self

from attrs import field, frozen

from shared.oci import MAX_REPOSITORY_NAME_CHARACTERS, RepositoryName
from shared.safe_message import SafeMessage

_COMPONENT: Final = re.compile(r"\*\*|[a-z0-9._*-]+", re.ASCII)
_TWO_STARS_INSIDE: Final = re.compile(r".\*\*|\*\*.")


class InvalidRepositoryPatternError(SafeMessage, ValueError):
    """The text is not a repository pattern."""


@frozen(slots=False)
class RepositoryPattern:
    """A pattern such as `team/*/gateway` or `models/**`."""

    value: str = field()

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

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        parts = (
            r"[^/]+(?:/[^/]+)*"
            if part == "**"
            else "[^/]*".join(re.escape(piece) for piece in part.split("*"))
            for part in self.value.split("/")
        )
        return re.compile("/".join(parts))

    def matches(self, repository: RepositoryName) -> bool:
        """Tell whether the whole name fits the pattern."""
        return self._expression.fullmatch(repository.value) is not None

    def __str__(self) -> str:
        """Return the pattern itself."""
        return self.value
