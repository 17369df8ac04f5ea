"""What the upstream tests share: clients of simulated registries."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from shared.secret import Secret
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.body_reading import MonotonicClock
from shared.upstream.client import RegistryClient
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import Timeouts, UpstreamTransport
from tests.support.simulators.registry import RegistrySimulator

Connect = Callable[..., Awaitable[RegistryClient]]

PASSWORD = "canary-password-4711"
ROBOT = BasicCredential("robot$team", Secret(PASSWORD))
QUICK = Timeouts(connect_seconds=5, first_byte_seconds=1, stall_seconds=1)


def target_of(
    registry: RegistrySimulator, *, auth_realms: tuple[str, ...] = (), plain_http: bool = True
) -> UpstreamTarget:
    """Return the target of a simulator on loopback."""
    return UpstreamTarget(
        registry.host, plain_http=plain_http, auth_realms=auth_realms, allow_loopback=True
    )


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Make clients that log in once, and close them after the test."""
    clients: list[RegistryClient] = []

    async def connect(
        target: RegistrySimulator | UpstreamTarget,
        credential: BasicCredential | None = None,
        *,
        timeouts: Timeouts | None = None,
        clock: MonotonicClock = time.monotonic,
    ) -> RegistryClient:
        if isinstance(target, RegistrySimulator):
            target = target_of(target)
        transport = await UpstreamTransport.open(target, timeouts=timeouts, clock=clock)
        client = await RegistryClient.create(
            target, OneShotAuthorizer(transport, credential), transport=transport
        )
        clients.append(client)
        return client

    yield connect
    for client in clients:
        await client.close()
