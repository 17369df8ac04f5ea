"""A device that pulls so many large blobs that it has every spare stream of their registry."""

from collections.abc import Mapping
from typing import Final

import pytest
from attrs import evolve

from shared.outside_bytes import Party
from tests.adversary.bounds import Allowed, patient
from tests.adversary.facade.attacked import AttackedFacade, meanwhile
from tests.adversary.facade.test_streams import PACE, contents
from tests.adversary.guards import check
from tests.support.eventually import eventually
from tests.support.memory import MIB
from tests.support.simulators.registry import RegistrySimulator
from tests.system.facade.pulls import outcome_of

pytestmark = pytest.mark.attack

SPARE: Final = "facade_upstream_spare_streams"
STREAMS_OF_A_BLOB: Final = 4
SPARE_STREAMS: Final = 6  # of the registry; fewer than by default, for the simulator's sake
GREEDY_BLOBS: Final = 6  # each of which wants three
GREEDY_BYTES: Final = 64 * MIB
GREEDY_SECONDS: Final = 30.0
SLOW: Final = evolve(PACE, pause_seconds=0.08)  # 0.8 MiB a second: a segment takes ten seconds


@pytest.fixture
def more_settings() -> Mapping[str, str]:
    """A facade that asks a registry for few spare streams, with room for what comes by them."""
    return {"FACADE_UPSTREAM_STREAMS": str(SPARE_STREAMS), "FACADE_CACHE_MAX_BYTES": "1GiB"}


@check(
    "facade/registries/spare_streams.py",
    "min(self._waiting, key=self._held.__getitem__)",
    "max(self._waiting, key=self._held.__getitem__)",
)
async def test_a_device_that_takes_every_spare_stream(attacked: AttackedFacade) -> None:
    """Another device's blob has its share of them, as soon as one is free."""
    await attacked.connect()
    greedy, modest = attacked.attacker("greedy"), attacked.attacker("modest")
    *many, one = contents(GREEDY_BLOBS + 1, GREEDY_BYTES)
    paths = [attacked.blob(content, get=SLOW) for content in many]
    wanted = attacked.blob(one, get=SLOW)
    allowed = Allowed(seconds=GREEDY_SECONDS)
    async with (
        attacked.watched("every spare stream", Party.DEVICE, allowed) as attack,
        meanwhile(*(outcome_of(greedy, path) for path in paths)),
    ):
        await eventually(lambda: attacked.metric(SPARE) == SPARE_STREAMS, patient(GREEDY_SECONDS))
        async with meanwhile(outcome_of(modest, wanted)):
            await eventually(
                lambda: further(attacked.registry, wanted) >= STREAMS_OF_A_BLOB,
                patient(GREEDY_SECONDS),
            )
            assert attacked.metric(SPARE) <= SPARE_STREAMS
            await attack.to_its_end()


def further(registry: RegistrySimulator, path: str) -> int:
    """Return how many ranges of a blob were asked for."""
    digest = path.rpartition("/")[2]
    asked = [each for each in registry.pulls if each.path.endswith(digest)]
    return sum(each.header("Range") is not None for each in asked)
