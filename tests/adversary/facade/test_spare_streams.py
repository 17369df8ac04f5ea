"""A device that pulls so many large blobs that it has every spare stream of their registry."""

import asyncio
from collections.abc import Mapping
from typing import Final

import pytest
from attrs import evolve

from facade.arrivals.stream_growth import MOST_STREAMS
from shared.outside_bytes import Party
from tests.adversary.facade.test_streams import PACE, another, contents
from tests.adversary.watch import Target, Watch
from tests.support.eventually import eventually
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.memory import MIB
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.pulls import outcome_of

pytestmark = pytest.mark.attack

SPARE_STREAMS: Final = 6  # of the registry; fewer than by default, for the simulator's sake
GREEDY_BLOBS: Final = 6  # each of which wants three
GREEDY_BYTES: Final = 64 * MIB
GREEDY_SECONDS: Final = 30.0
SLOW: Final = evolve(PACE, pause_seconds=0.08)  # 0.8 MiB a second: a segment takes ten seconds


@pytest.fixture
def more_settings() -> Mapping[str, str]:
    """A facade that asks a registry for few spare streams, with room for what comes by them."""
    return {"FACADE_UPSTREAM_STREAMS": str(SPARE_STREAMS), "FACADE_CACHE_MAX_BYTES": "1GiB"}


async def test_a_device_that_takes_every_spare_stream(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """Another device's blob has its share of them, as soon as one is free."""
    await connect(facade, own_writer, upstream)
    greedy, modest = another(facade, "greedy"), another(facade, "modest")
    *many, one = contents(GREEDY_BLOBS + 1, GREEDY_BYTES)
    paths = [pull_path(upstream, upstream.blob(content, get=SLOW)) for content in many]
    wanted = upstream.blob(one, get=SLOW)
    watched = watch("streams", "every spare stream", Party.DEVICE, target, seconds=GREEDY_SECONDS)
    async with watched as attack:
        pulls = [asyncio.create_task(outcome_of(greedy, path)) for path in paths]
        try:
            await eventually(lambda: taken(facade) == SPARE_STREAMS, GREEDY_SECONDS)
            pulls.append(asyncio.create_task(outcome_of(modest, pull_path(upstream, wanted))))
            await eventually(lambda: further(upstream, wanted) >= MOST_STREAMS, GREEDY_SECONDS)
            assert taken(facade) <= SPARE_STREAMS
            await attack.to_its_end()
        finally:
            for pull in pulls:
                pull.cancel()
            await asyncio.gather(*pulls, return_exceptions=True)


def taken(facade: Facade) -> float:
    """Return how many spare streams are taken."""
    lines = facade.operations("/metrics")[1].splitlines()
    found = [each for each in lines if each.startswith("facade_upstream_spare_streams")]
    return sum(float(each.rpartition(" ")[2]) for each in found)


def further(registry: RegistrySimulator, digest: str) -> int:
    """Return how many ranges of a blob were asked for."""
    asked = [each for each in registry.pulls if each.path.endswith(digest)]
    return sum(each.header("Range") is not None for each in asked)
