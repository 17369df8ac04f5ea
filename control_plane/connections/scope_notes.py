"""Which parts of a connection's scope fit no repository: said when it is made. Pure.

Repositories are named as the registry itself names them. People paste references, which begin with
the host. A registry may have a repository whose name begins so, but hardly any has.
"""

import re
from collections.abc import Iterator
from typing import Final

from shared.connection import ConnectionDocument
from shared.registry_host import RegistryHost
from shared.upstream.hosts import UnusableHostError, registry_host_from_reference

_ANY_COMPONENTS: Final = "**"


def scope_notes(document: ConnectionDocument) -> Iterator[str]:
    """Yield a sentence for a prefix that seems to fit nothing, and for each such pattern."""
    prefix = str(document.repository_prefix or "")
    if _begins_with_host(prefix, document.host):
        yield _without_host("prefix", prefix)
    for pattern in map(str, document.repositories):
        if _begins_with_host(pattern, document.host):
            yield _without_host("pattern", pattern)
        elif prefix and not _may_fit_below(pattern.split("/"), prefix.split("/")):
            yield f"no repository below the prefix {prefix} fits the pattern {pattern}"


def _begins_with_host(name: str, host: RegistryHost) -> bool:
    first, slash, _ = name.partition("/")
    try:
        return bool(slash or "." in first) and registry_host_from_reference(first) == host
    except UnusableHostError:
        return False


def _without_host(what: str, name: str) -> str:
    rest = name.partition("/")[2]
    instead = f": is {rest} meant?" if rest else ""
    return (
        f"the {what} {name} begins with the host, and the registry's own names of repositories do"
        f" not, so it fits none{instead}"
    )


def _may_fit_below(pattern: list[str], prefix: list[str]) -> bool:
    """Tell whether a name that begins with the prefix's components may fit the pattern."""
    for at, component in enumerate(prefix):
        if at >= len(pattern):
            return False
        if pattern[at] == _ANY_COMPONENTS:
            return True
        if not re.fullmatch(re.escape(pattern[at]).replace(r"\*", "[^/]*"), component):
            return False
    return True
