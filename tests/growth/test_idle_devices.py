"""What a device costs that is connected and asks nothing: memory alone, the same for each."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final

import pytest

from tests.growth.devices import staying
from tests.growth.measured import Growth, Sizes
from tests.support.facade_process import Facade
from tests.support.memory import MIB, Memory

# A process of the usual hard limit of descriptors has 20,000.
SIZES: Final = Sizes(small=(100, 200, 400), full=(2_000, 6_000, 18_000))
MEMORY: Final = "an idle device, resident memory"
DEVICES: Final = 50_000
MEMORY_OF_ALL: Final = 4096 * MIB
WARM_UP: Final = 20  # what is made once is no device's


@pytest.fixture(scope="module")
def facade_settings() -> Mapping[str, str]:
    """As many as there are."""
    return {
        "FACADE_MAX_CONNECTIONS": str(DEVICES),
        "FACADE_MAX_CONNECTIONS_PER_DEVICE": str(DEVICES),
    }


async def test_fifty_thousand_idle_devices_have_room(facade: Facade, growth: Growth) -> None:
    """In 4 GiB: each further one costs what the ones before did."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(staying(facade, WARM_UP))
        before, there = Memory.of(facade.child.pid).now, 0
        for size in growth.sizes(SIZES):
            told = await stack.enter_async_context(staying(facade, size - there))
            assert told["answered"] == size - there, told
            there = size
            taken = max(0, Memory.of(facade.child.pid).now - before)
            growth.point(MEMORY, size=size, cost=taken // size, unit="bytes")
    # The first ones find room in the heap that the start has left: a few hundred still show it.
    growth.holds(MEMORY, exponent=0.3, at_most=MEMORY_OF_ALL / DEVICES)
