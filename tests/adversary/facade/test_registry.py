"""A registry that does its worst, while another device asks for a warm manifest of another one."""

import asyncio

import pytest

from shared.outside_bytes import Party
from tests.adversary.watch import Target, Watch
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.behaviour import Stalls
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack
STALLED = 30  # of one device: as many pulls as it may have connections


async def test_a_registry_that_says_nothing(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """Waiting costs next to nothing: also what this harness itself adds is seen here."""
    paths = [
        pull_path(upstream, upstream.blob(bytes([each]) * 1000, get=Stalls()))
        for each in range(STALLED)
    ]
    await connect(facade, own_writer, upstream)
    device = facade.device()
    async with watch("silence", "30 pulls, no answer", Party.REGISTRY, target) as attack:
        pulls = [asyncio.create_task(device.get(path)) for path in paths]
        await attack.to_its_end()
        for pull in pulls:
            pull.cancel()
        await asyncio.gather(*pulls, return_exceptions=True)
