"""The approved connections that are verified, each by its subject and by its place. Pure."""

from attrs import define, field

from facade.approvals.connection_census import ConnectionCensus, counted
from facade.approvals.connection_index import ConnectionIndex
from shared.approved_connection import ApprovedConnection
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost


@define
class ServedConnections:
    """Those of one snapshot, which are counted in its census. For one event loop."""

    _census: ConnectionCensus
    _by_subject: dict[str, ApprovedConnection] = field(factory=dict, init=False)
    _index: ConnectionIndex = field(factory=ConnectionIndex, init=False)
    _access_keys: set[str] = field(factory=set, init=False)  # a connection's own: it names it

    def of(self, subject: str) -> ApprovedConnection | None:
        """Return the connection that a subject serves."""
        return self._by_subject.get(subject)

    def of_host(self, host: RegistryHost) -> tuple[ApprovedConnection, ...]:
        """Return all connections of a host, longest prefix first."""
        return self._index.of_host(host)

    def covering(
        self, host: RegistryHost, repository: RepositoryName
    ) -> tuple[ApprovedConnection, ...]:
        """Return those of a host whose prefix covers a repository, longest prefix first."""
        return self._index.covering(host, repository)

    def have_prefix(self, host: RegistryHost, prefix: str) -> bool:
        """Tell whether one has this very prefix."""
        return self._index.serves(host, prefix)

    def all(self) -> tuple[ApprovedConnection, ...]:
        """Return all of them."""
        return tuple(self._by_subject.values())

    def access_keys(self) -> frozenset[str]:
        """Return their access keys."""
        return frozenset(self._access_keys)

    def replace(self, subject: str, connection: ApprovedConnection | None) -> None:
        """Serve a subject by another connection than before; None: by none."""
        previous = self._by_subject.pop(subject, None)
        if previous is not None:
            self._index.remove(previous)
            self._census.remove(counted(previous))
            self._access_keys.discard(previous.access_key)
        if connection is not None:
            self._by_subject[subject] = connection
            self._access_keys.add(connection.access_key)
            self._index.add(connection)
            self._census.add(counted(connection))
