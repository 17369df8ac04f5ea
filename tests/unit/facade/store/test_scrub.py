"""Every stored blob is read again: slowly, the longest unverified first, by one process."""

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from facade.metrics.store_metrics import StoreMetrics
from facade.store.blob_store import BlobStore
from facade.store.scrub import SCRUBBED_EVERY_SECONDS, STEP_BYTES, Scrubber
from shared.oci import Digest
from tests.support.eventually import eventually
from tests.support.rot import rot
from tests.unit.facade.store.test_quota import keep

QUOTA = 64 * 1024 * 1024
AT_ONCE = 1e12  # bytes per second


@pytest.fixture
def counters() -> CollectorRegistry:
    """What the store counts in."""
    return CollectorRegistry()


@pytest.fixture
def store(tmp_path: Path, counters: CollectorRegistry) -> Iterator[BlobStore]:
    """A store."""
    metrics = StoreMetrics.create(counters)
    with closing(BlobStore.open(tmp_path / "cache", QUOTA, metrics)) as store:
        yield store


def content(seed: int, size: int = 5000) -> bytes:
    """Return a content of its own."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - any bytes will do


def age(store: BlobStore, *digests: Digest, seconds: float = SCRUBBED_EVERY_SECONDS + 60) -> None:
    """Have blobs be verified so long ago."""
    with closing(sqlite3.connect(store.layout.index, isolation_level=None)) as index:
        for digest in digests:
            index.execute(
                "UPDATE blobs SET scrubbed_at = ? WHERE digest = ?",
                (time.time() - seconds, str(digest)),
            )


def due(store: BlobStore) -> list[Digest]:
    """Return what has to be verified again."""
    found = store.catalogue.least_scrubbed(time.time() - SCRUBBED_EVERY_SECONDS, 9)
    return [each.digest for each in found]


def counted(counters: CollectorRegistry, name: str, **labels: str) -> float:
    """Return a counter's value."""
    return counters.get_sample_value(f"{name}_total", labels) or 0.0


async def test_a_bit_that_rotted_anywhere_is_found(
    store: BlobStore, counters: CollectorRegistry
) -> None:
    """Beyond the first step too; what is sound stays, and is not read again for a week."""
    size = STEP_BYTES * 2 + 77
    sound, rotten = await keep(store, content(1, size)), await keep(store, content(2, size))
    empty = await keep(store, b"")
    age(store, sound, rotten, empty)
    rot(store.layout.blob(rotten), size - 1)
    scrubber = Scrubber(store, AT_ONCE)
    assert await scrubber.scrub_due()
    assert store.has(sound)
    assert store.has(empty)
    assert not store.has(rotten)
    assert len(list(store.layout.quarantine.iterdir())) == 1
    assert counted(counters, "facade_store_rotten_blobs", found_by="scrub") == 1
    assert counted(counters, "facade_store_scrubbed_bytes") == 2 * size
    assert not await scrubber.scrub_due()


async def test_what_rotted_into_another_length_is_found(store: BlobStore) -> None:
    """Longer and shorter."""
    longer, shorter = await keep(store, content(1)), await keep(store, content(2))
    age(store, longer, shorter)
    for digest, stored in ((longer, content(1) + b"more"), (shorter, content(2)[:-1])):
        store.layout.blob(digest).write_bytes(stored)
    await Scrubber(store, AT_ONCE).scrub_due()
    assert not store.has(longer)
    assert not store.has(shorter)


async def test_what_was_verified_lately_is_not_due(
    store: BlobStore, counters: CollectorRegistry
) -> None:
    """A new blob was verified as it came; one that a restart found was not, who knows when."""
    new, found = await keep(store, content(1)), await keep(store, content(2))
    store.catalogue.removed(found)
    store.upkeep.tidy()
    assert await Scrubber(store, AT_ONCE).scrub_due()
    assert counted(counters, "facade_store_scrubbed_bytes") == len(content(2))
    assert store.has(new)


async def test_what_goes_meanwhile_is_nobodys_rot(store: BlobStore) -> None:
    """The scrub locks nothing: a blob may be evicted under it, or be kept anew."""
    evicted, gone = await keep(store, content(1, STEP_BYTES * 4)), await keep(store, content(2))
    age(store, gone, seconds=SCRUBBED_EVERY_SECONDS * 2)
    age(store, evicted)
    store.layout.blob(gone).unlink()
    scrubbing = asyncio.create_task(Scrubber(store, STEP_BYTES * 10).scrub_due())
    await asyncio.sleep(0.15)
    await store.make_room(QUOTA, lambda _: None)
    assert await scrubbing
    assert not store.has(evicted)
    assert not list(store.layout.quarantine.iterdir())
    assert store.catalogue.stored_bytes() == 0


async def test_one_process_scrubs_and_another_goes_on(
    store: BlobStore, counters: CollectorRegistry, tmp_path: Path
) -> None:
    """What the first had verified is not read again."""
    digests = [await keep(store, content(seed)) for seed in range(3)]
    age(store, *digests)
    with closing(BlobStore.open(tmp_path / "cache", QUOTA)) as other:
        async with running(Scrubber(store, AT_ONCE)):
            await eventually(lambda: not due(store))  # counted earlier than noted
            async with running(Scrubber(other, AT_ONCE)):
                age(other, digests[0])
                rot(store.layout.blob(digests[0]), 0)
                await eventually(lambda: not store.has(digests[0]))
                assert counted(counters, "facade_store_rotten_blobs", found_by="scrub") == 1
        async with running(Scrubber(other, AT_ONCE)):
            age(other, digests[1])
            rot(store.layout.blob(digests[1]), 0)
            await eventually(lambda: not store.has(digests[1]))
    assert counted(counters, "facade_store_rotten_blobs", found_by="scrub") == 1
    assert counted(counters, "facade_store_scrubbed_bytes") == 4 * len(content(0))


async def test_a_scrub_that_ends_in_the_middle_remembers_what_it_verified(
    store: BlobStore, counters: CollectorRegistry
) -> None:
    """A facade that restarts each day gets through all the same."""
    first, second = await keep(store, content(1)), await keep(store, content(2, STEP_BYTES * 2))
    age(store, first, seconds=SCRUBBED_EVERY_SECONDS * 2)
    age(store, second)
    scrubbing = asyncio.create_task(Scrubber(store, STEP_BYTES).scrub_due())
    await eventually(lambda: counted(counters, "facade_store_scrubbed_bytes") > 0)
    scrubbing.cancel()
    await asyncio.wait([scrubbing])
    assert due(store) == [second]


@asynccontextmanager
async def running(scrubber: Scrubber) -> AsyncIterator[None]:
    """Run a scrubber for as long as the block."""
    task = asyncio.create_task(scrubber.scrub())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
