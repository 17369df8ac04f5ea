"""What the facade's unit tests share: upstreams of simulated registries, and a store's index."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest

from facade.registries.absences import Absences
from facade.registries.bandwidth import Bandwidth
from facade.registries.circuit_breaker import CircuitBreaker
from facade.registries.upstream import Upstream
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.body_reading import MonotonicClock
from shared.upstream.client import RegistryClient
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import Timeouts, UpstreamTransport
from tests.support.opened_index import OpenedIndex
from tests.support.simulators.registry import RegistrySimulator


class Connect(Protocol):
    """Makes upstreams that end with the test."""

    async def __call__(
        self,
        registry: RegistrySimulator,
        *,
        timeouts: Timeouts | None = None,
        breaker: CircuitBreaker | None = None,
        absences: Absences | None = None,
        bandwidth: Bandwidth | None = None,
        clock: MonotonicClock = time.monotonic,
    ) -> Upstream:
        """Return an anonymous connection's upstream."""


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Make upstreams of simulators on loopback, and close them after the test."""
    upstreams: list[Upstream] = []

    async def connect(
        registry: RegistrySimulator,
        *,
        timeouts: Timeouts | None = None,
        breaker: CircuitBreaker | None = None,
        absences: Absences | None = None,
        bandwidth: Bandwidth | None = None,
        clock: MonotonicClock = time.monotonic,
    ) -> Upstream:
        target = UpstreamTarget(registry.host, plain_http=True, allow_loopback=True)
        transport = await UpstreamTransport.open(target, timeouts=timeouts, clock=clock)
        client = RegistryClient(transport, OneShotAuthorizer(transport, None))
        upstreams.append(
            Upstream(
                client,
                breaker or CircuitBreaker(time.monotonic),
                absences=absences or Absences(time.monotonic),
                bandwidth=bandwidth,
            )
        )
        return upstreams[-1]

    yield connect
    for upstream in upstreams:
        await upstream.close()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[OpenedIndex]:
    """A new index."""
    with closing(OpenedIndex.open(tmp_path)) as index:
        yield index
