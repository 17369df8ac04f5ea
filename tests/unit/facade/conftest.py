"""What the facade's unit tests share: real clients of simulated registries."""

from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.client import RegistryClient
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import Timeouts, UpstreamTransport
from tests.support.simulators.registry import RegistrySimulator


class Connect(Protocol):
    """Makes clients that end with the test."""

    async def __call__(
        self, registry: RegistrySimulator, *, timeouts: Timeouts | None = None
    ) -> RegistryClient:
        """Return an anonymous client of the registry."""


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Make anonymous clients of simulators on loopback, and close them after the test."""
    clients: list[RegistryClient] = []

    async def connect(
        registry: RegistrySimulator, *, timeouts: Timeouts | None = None
    ) -> RegistryClient:
        target = UpstreamTarget(registry.host, plain_http=True, allow_loopback=True)
        transport = await UpstreamTransport.open(target, timeouts=timeouts)
        clients.append(RegistryClient(transport, OneShotAuthorizer(transport, None)))
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()
