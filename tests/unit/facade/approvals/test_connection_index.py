"""The index finds what a search through all connections finds, in the same order."""

from random import Random

import attrs
from hypothesis import given
from hypothesis import strategies as st

from facade.approvals.access import longest_prefix_first
from facade.approvals.connection_index import ConnectionIndex
from shared.approved_connection import ApprovedConnection
from shared.oci import RepositoryName
from shared.registry_host import RegistryHost
from tests.unit.facade.strategies import HOST, connections, repositories

OTHER_HOST = RegistryHost.parse("other.example")


def elsewhere(connection: ApprovedConnection) -> ApprovedConnection:
    """Return the connection as if it were another host's."""
    return attrs.evolve(connection, document=attrs.evolve(connection.document, host=OTHER_HOST))


def distinct(all_connections: list[ApprovedConnection]) -> list[ApprovedConnection]:
    """Return connections of distinct generations: among equals the order is free."""
    return [attrs.evolve(each, generation=n) for n, each in enumerate(all_connections)]


@given(
    st.lists(connections | connections.map(elsewhere), max_size=12).map(distinct),
    st.integers(0, 12),
    repositories,
    st.randoms(),
)
def test_what_is_found_is_what_a_search_finds(
    all_connections: list[ApprovedConnection],
    removed: int,
    repository: RepositoryName,
    random: Random,
) -> None:
    """Whatever came and went, in whatever order."""
    index = ConnectionIndex()
    for connection in all_connections:
        index.add(connection)
    random.shuffle(all_connections)
    for connection in all_connections[:removed]:
        index.remove(connection)
    for host in (HOST, OTHER_HOST):
        of_host = [each for each in all_connections[removed:] if each.document.host == host]
        expected = longest_prefix_first(of_host)
        assert index.of_host(host) == expected
        covering = tuple(
            each
            for each in expected
            if each.document.repository_prefix is None
            or repository.is_within(each.document.repository_prefix)
        )
        assert index.covering(host, repository) == covering


@given(st.lists(connections, max_size=5))
def test_nothing_stays_behind(all_connections: list[ApprovedConnection]) -> None:
    """Connections come and go for years."""
    index = ConnectionIndex()
    for connection in all_connections:
        index.add(connection)
    for connection in all_connections:
        index.remove(connection)
    assert index == ConnectionIndex()
