"""The approved connections by place: the host and the repository prefix that they serve.

Pure. Adding, removing and looking up take the time of one place, however many connections there
are, of one host or of many.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from attrs import define, field

from facade.approvals.access import longest_prefix_first
from shared.approved_connection import ApprovedConnection
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost

WHOLE_HOST: Final = ""  # the prefix of a connection without one


def covering_prefixes(repository: RepositoryName) -> Iterator[str]:
    """Yield the prefixes that cover a repository, longest first, and `WHOLE_HOST`."""
    prefix = str(repository)
    while prefix:
        yield prefix
        prefix = prefix.rpartition("/")[0]
    yield WHOLE_HOST


@define
class ConnectionIndex:
    """Places, each with its connections. For one event loop."""

    _by_host: dict[RegistryHost, dict[str, tuple[ApprovedConnection, ...]]] = field(
        factory=dict, init=False
    )

    def of_host(self, host: RegistryHost) -> tuple[ApprovedConnection, ...]:
        """Return all connections of a host, longest prefix first."""
        return longest_prefix_first(chain.from_iterable(self._by_host.get(host, {}).values()))

    def covering(
        self, host: RegistryHost, repository: RepositoryName
    ) -> tuple[ApprovedConnection, ...]:
        """Return the connections of a host whose prefix covers a repository, longest first."""
        places = self._by_host.get(host)
        if places is None:
            return ()
        if len(places) == 1 and WHOLE_HOST in places:  # of most hosts
            return places[WHOLE_HOST]
        covering: tuple[ApprovedConnection, ...] = ()
        for prefix in covering_prefixes(repository):
            covering += places.get(prefix, ())
        return covering

    def serves(self, host: RegistryHost, prefix: str) -> bool:
        """Tell whether there is a connection of this very prefix."""
        return prefix in self._by_host.get(host, ())

    def add(self, connection: ApprovedConnection) -> None:
        """Add a connection."""
        places = self._by_host.setdefault(connection.document.host, {})
        prefix = _prefix(connection)
        places[prefix] = longest_prefix_first((*places.get(prefix, ()), connection))

    def remove(self, connection: ApprovedConnection) -> None:
        """Remove a connection that was added."""
        host, prefix = connection.document.host, _prefix(connection)
        places = self._by_host[host]
        others = tuple(each for each in places.pop(prefix) if each is not connection)
        if others:
            places[prefix] = others
        elif not places:
            del self._by_host[host]


def _prefix(connection: ApprovedConnection) -> str:
    prefix = connection.document.repository_prefix
    return str(prefix) if prefix is not None else WHOLE_HOST
