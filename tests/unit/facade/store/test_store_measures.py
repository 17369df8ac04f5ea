"""What an operator sees of the store: what takes its quota, what went for what, and since when."""

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from facade.metrics.store_metrics import StoreMetrics, StoreState, WhyEvicted
from facade.store.blob_store import BlobStore
from tests.support.eventually import eventually
from tests.unit.facade.store.test_quota import begin, content, keep

QUOTA = 10_000


class Scene:
    """A store whose metrics are read."""

    def __init__(self, store: BlobStore, registry: CollectorRegistry) -> None:
        """Hold both."""
        self.store, self._registry = store, registry

    def value(self, name: str, **labels: str) -> float:
        """Return a metric as it is now."""
        value = self._registry.get_sample_value(name, labels)
        assert value is not None
        return value

    def states(self) -> dict[str, float]:
        """Return what takes how much, when it was measured now."""
        self.store.upkeep.measure()
        shown = {each.value: self.value("facade_store_bytes", state=each) for each in StoreState}
        return {state: count for state, count in shown.items() if count}

    def evicted(self) -> dict[str, float]:
        """Return for what how many bytes went."""
        name = "facade_store_evicted_bytes_total"
        return {each.value: count for each in WhyEvicted if (count := self.value(name, why=each))}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A small store."""
    registry = CollectorRegistry()
    with closing(BlobStore.open(tmp_path, QUOTA, StoreMetrics.create(registry))) as store:
        yield Scene(store, registry)


async def test_each_byte_of_the_quota_is_in_one_state(scene: Scene) -> None:
    """What arrives, what was left, what is complete and what rotted."""
    assert scene.states() == {}
    begin(scene.store, content("a", 1_000)).release()
    arriving = begin(scene.store, content("b", 2_000))
    await keep(scene.store, content("c", 3_000))
    rotten = await keep(scene.store, content("d", 500))
    scene.store.quarantine(rotten, "a test")
    assert scene.states() == {"left": 1_000, "arriving": 2_000, "stored": 3_000, "quarantined": 500}
    assert scene.value("facade_store_limit_bytes") == QUOTA
    arriving.discard()


async def test_what_was_evicted_is_counted_by_what_it_went_for(scene: Scene) -> None:
    """By bytes: a full store that turns over is seen before its hits are gone."""
    await keep(scene.store, content("a", 4_000))
    await keep(scene.store, content("b", 4_000))
    await scene.store.make_room(5_000, lambda _: None)
    assert scene.evicted() == {"room": 4_000}
    await scene.store.relieve_disk(1)
    assert scene.evicted() == {"room": 4_000, "disk": 4_000}


async def test_the_oldest_use_is_that_of_the_blob_that_goes_next(scene: Scene) -> None:
    """Used again or not; without a blob there is none."""
    name = "facade_store_oldest_use_timestamp_seconds"
    scene.store.upkeep.measure()
    assert math.isnan(scene.value(name))
    began = time.time()
    first = await keep(scene.store, content("a"))
    between = time.time()
    await keep(scene.store, content("b"))
    scene.store.upkeep.measure()
    assert began <= scene.value(name) <= between
    scene.store.note_use(first)
    scene.store.upkeep.write_uses()
    scene.store.upkeep.measure()
    assert scene.value(name) >= between


async def test_it_is_measured_by_itself(scene: Scene) -> None:
    """Whoever scrapes waits for no disk."""
    await keep(scene.store, content("a"))
    measuring = asyncio.create_task(scene.store.upkeep.keep_measured())
    await eventually(lambda: scene.value("facade_store_bytes", state="stored") == len(content("a")))
    measuring.cancel()
    with suppress(asyncio.CancelledError):
        await measuring
