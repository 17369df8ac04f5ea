"""What a connection's prefix and patterns allow, in the wildcards of IAM. Pure.

IAM's `*` stands for any characters, slashes included. So a policy is never narrower than the
connection's own scope, and may be wider. The facade keeps to the connection's own.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from shared.oci import RepositoryName
from shared.repository_pattern import RepositoryPattern

ANY: Final = "*"


def iam_resources(
    prefix: RepositoryName | None, patterns: Sequence[RepositoryPattern]
) -> tuple[str, ...]:
    """Return the names and wildcards that cover all that may be served, as few as possible."""
    below = (str(prefix), f"{prefix}/{ANY}") if prefix else (ANY,)
    within = [_within(prefix, pattern) for pattern in patterns]
    found = dict.fromkeys(name for names in within for name in names)
    # If no pattern lies below the prefix, nothing is served; a policy still needs a resource.
    return tuple(found) or below


def _within(prefix: RepositoryName | None, pattern: RepositoryPattern) -> tuple[str, ...]:
    """Return the part of a pattern that lies at or below the prefix."""
    parts = pattern.value.split("/")
    kept: list[str] = []
    for component in prefix.components if prefix else ():
        if not parts:
            return ()
        if parts[0] == "**":  # any depth: what follows it is not compared with the prefix
            return str(prefix), f"{prefix}/{ANY}"
        if not fnmatchcase(component, parts.pop(0)):
            return ()
        kept.append(component)
    return ("/".join([*kept, *(ANY if part == "**" else part for part in parts)]),)


def literal_heads(
    prefix: RepositoryName | None, patterns: Sequence[RepositoryPattern], components: int
) -> tuple[str, ...]:
    """Return the first components of all that may be served; empty if a wildcard hides some."""
    heads = [_literal_head(name.split("/"), components) for name in iam_resources(prefix, patterns)]
    known = [head for head in heads if head is not None]
    return tuple(dict.fromkeys(known)) if len(known) == len(heads) else ()


def _literal_head(parts: Sequence[str], components: int) -> str | None:
    head = parts[:components]
    if len(head) < components or any(ANY in part for part in head):
        return None
    return "/".join(head)
