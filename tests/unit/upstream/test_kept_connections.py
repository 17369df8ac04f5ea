"""Connections that wait for their next request: bounded over all registries together."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.client import RegistryClient
from shared.upstream.kept_connections import DESCRIPTORS_PER_KEPT, MOST_KEPT, KeptConnections
from shared.upstream.transport import TransportResources, UpstreamTransport
from tests.support.eventually import eventually
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.upstream.conftest import target_of
from tests.unit.upstream.reading import read


@define(eq=False)
class Connection:
    """One that only notes what becomes of it."""

    given_up: int = 0

    def give_up(self) -> None:
        """Note it."""
        self.given_up += 1


@define
class Model:
    """What waits, written down the simple way."""

    most: int
    waiting: list[int] = field(factory=list)
    given_up: list[int] = field(factory=list)

    def add(self, connection: int) -> None:
        """Wait; whoever has waited for longest goes."""
        self.remove(connection)
        self.waiting.append(connection)
        if len(self.waiting) > self.most:
            self.given_up.append(self.waiting.pop(0))

    def remove(self, connection: int) -> None:
        """Wait no more."""
        if connection in self.waiting:
            self.waiting.remove(connection)


@given(
    st.integers(1, 5), st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 9)))
)
def test_no_more_wait_than_the_bound(most: int, acts: list[tuple[str, int]]) -> None:
    """Whatever they do, and the one that has waited for longest is given up, once."""
    kept, model = KeptConnections(most), Model(most)
    connections = [Connection() for _ in range(10)]
    for act, number in acts:
        getattr(kept, act)(connections[number])
        getattr(model, act)(number)
        assert kept.count == len(model.waiting) <= most
    found = [connection.given_up for connection in connections]
    assert found == [model.given_up.count(number) for number in range(10)]


@pytest.mark.parametrize("descriptors", [1, 256, 1024, 20_000, 1_000_000])
def test_they_leave_descriptors_to_everybody_else(descriptors: int) -> None:
    """One is kept on any machine, and on a large one no more than memory allows."""
    kept = KeptConnections.of_descriptors(descriptors)
    for _ in range(MOST_KEPT + 1):
        kept.add(Connection())
    assert kept.count == max(1, min(MOST_KEPT, descriptors // DESCRIPTORS_PER_KEPT))


async def test_a_hundred_registries_keep_what_one_may() -> None:
    """Each gives its whole answer, and is asked again over a new connection if need be."""
    resources = TransportResources(kept=KeptConnections(3))
    content = bytes(100_000)
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(RegistrySimulator())
        digest = registry.blob(content)
        clients = []
        for _ in range(20):
            transport = await UpstreamTransport.open(target_of(registry), resources=resources)
            stack.push_async_callback(transport.close)
            clients.append(RegistryClient(transport, OneShotAuthorizer(transport, None)))
        for _ in range(2):
            for client in clients:
                assert await read(client, digest) == content
        await eventually(lambda: registry.open_connections == 3)
        assert resources.kept.count == 3
        assert await asyncio.gather(*(read(client, digest) for client in clients)) == [content] * 20
        assert await read(clients[-1], digest) == content
    assert resources.kept.count == 0
