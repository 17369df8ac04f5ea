"""What a connection's prefix and patterns leave of a registry, in the wildcards of others. Pure.

IAM's `*` stands for any characters, slashes included: what is said there is never narrower than
the connection's own scope, and may be wider. The facade holds to the connection's own.
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
    """Return names and wildcards, as few as needed, that cover all that may be served."""
    below = (str(prefix), f"{prefix}/{ANY}") if prefix else (ANY,)
    within = [_within(prefix, pattern) for pattern in patterns]
    found = dict.fromkeys(name for names in within for name in names)
    # Patterns that all lie beside the prefix serve nothing; a policy still needs a resource.
    return tuple(found) or below


def _within(prefix: RepositoryName | None, pattern: RepositoryPattern) -> tuple[str, ...]:
    """Return what of a pattern lies at or below the prefix."""
    parts = pattern.value.split("/")
    kept: list[str] = []
    for component in prefix.components if prefix else ():
        if not parts:
            return ()
        if parts[0] == "**":  # any depth: what follows it is not held against the prefix
            return str(prefix), f"{prefix}/{ANY}"
        if not fnmatchcase(component, parts.pop(0)):
            return ()
        kept.append(component)
    return ("/".join([*kept, *(ANY if part == "**" else part for part in parts)]),)


def literal_heads(
    prefix: RepositoryName | None, patterns: Sequence[RepositoryPattern], components: int
) -> tuple[str, ...]:
    """Return the first components of all that may be served; empty where they are not told."""
    heads = [_literal_head(name.split("/"), components) for name in iam_resources(prefix, patterns)]
    known = [head for head in heads if head is not None]
    return tuple(dict.fromkeys(known)) if len(known) == len(heads) else ()


def _literal_head(parts: Sequence[str], components: int) -> str | None:
    head = parts[:components]
    if len(head) < components or any(ANY in part for part in head):
        return None
    return "/".join(head)
