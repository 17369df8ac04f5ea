"""Cycles are found though the collector itself would not come."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from facade.loop.garbage_rounds import FULL_ROUNDS, GarbageRounds
from tests.support.eventually import eventually


class Node:
    """Something that can hold itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def never_collected() -> Iterator[None]:
    """Have the interpreter itself never look for cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("never_collected")
@pytest.mark.parametrize("generation", [0, 1, 2])
async def test_a_cycle_is_gone_soon(generation: int) -> None:
    """However old it is."""
    node = Node()
    for _ in range(generation):
        gc.collect(generation - 1)  # it grows older
    found = weakref.ref(node)
    with GarbageRounds(seconds=0.001) as rounds:
        del node
        await eventually(lambda: found() is None)
    assert rounds.rounds <= FULL_ROUNDS + 1
