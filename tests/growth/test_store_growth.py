"""What a larger store costs whoever brings something, approves something, or waits for room."""

import asyncio
import os
import sys
import threading
from pathlib import Path
from types import FrameType

import pytest

from facade.loop.thread_work import STORE_THREADS, in_store_thread
from facade.store import evictor, room_queue
from facade.store.catalogue import FILE_BYTES
from facade.store.eviction import EVICTION_BATCH
from facade.store.evictor import NOBODY_IN_PARTICULAR, Wanted, spare_bytes
from facade.store.file_lock import lock_exclusively
from shared.oci import Digest
from tests.growth.measured import Growth, Sizes
from tests.growth.stores import BLOB_BYTES, CONNECTIONS, FilledStore, access_key_of

BLOBS = Sizes(small=(1_200, 2_400), full=(8_000, 80_000, 300_000, 1_000_000))
RIGHTS = Sizes(small=(2_000, 4_000, 8_000), full=(8_000, 80_000, 300_000, 1_000_000))
DOWNLOADS = Sizes(small=(4, 32, 256), full=(4, 32, 256, 2_048))
FIRST, LARGE = 512 * 1024, 2 * 1024 * 1024  # what is written next, and what is claimed with it
SPARE_PAGES = 16  # of the index: fewer than in production, so that small ones have some to give
LOOKS = 20
PAUSE_SECONDS = 0.002  # between two pulls of one device
BARRIER_SECONDS = 60.0


async def test_g6_a_cold_pull(growth: Growth, tmp_path: Path) -> None:
    """It is admitted, claims its room, and is kept: nothing adds up what is stored."""
    what = "G6 cold pull, steps of SQLite"
    for size in growth.sizes(BLOBS):
        with FilledStore.of(tmp_path / str(size), size) as store:
            queue = store.queue(quota=2 * size * (BLOB_BYTES + FILE_BYTES))
            with store.counted() as work:
                await queue.admit(FIRST, FIRST, _take, NOBODY_IN_PARTICULAR)
                await queue.make_room(Wanted(FIRST, FIRST), _take, NOBODY_IN_PARTICULAR)
                store.catalogue.added(Digest.of(b"new"), FIRST)
                store.catalogue.found(Digest.of(b"new"), FIRST)
            growth.point(what, size=size, cost=work.steps, unit="steps")
    growth.holds(what, exponent=0.1, at_most=2_000)


async def test_g3_a_large_blob_where_nothing_is_free(
    growth: Growth, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Somebody halved the quota: half of what is stored goes, and nobody waits for all of it."""
    first = "G3 eviction of half a store, blobs that go before a download's first byte"
    turn = "G3 eviction of half a store, blobs that go before another pull has its turn"
    noted = "G3 eviction of half a store, transactions and lines for each thousand blobs"
    for size in growth.sizes(BLOBS):
        with FilledStore.of(tmp_path / str(size), size, has_files=True) as store:
            quota = store.catalogue.stored_bytes() // 2
            queue = store.queue(quota)
            capfd.readouterr()
            with store.counted() as work:
                await queue.make_room(Wanted(FIRST, LARGE), _take, NOBODY_IN_PARTICULAR)
                went = size - store.catalogue.stored_blobs()
                growth.point(first, size=size, cost=went, unit="blobs")
                ahead, most = asyncio.create_task(queue.keep_spare()), 0
                while store.catalogue.stored_bytes() > quota - spare_bytes(quota):
                    before = store.catalogue.stored_blobs()
                    await queue.as_only_one(_nothing)
                    await asyncio.sleep(PAUSE_SECONDS)
                    most = max(most, before - store.catalogue.stored_blobs())
                ahead.cancel()
                await asyncio.wait([ahead])
            growth.point(turn, size=size, cost=most, unit="blobs")
            lines = capfd.readouterr().err.count("blobs evicted")
            thousands = (size - store.catalogue.stored_blobs()) / 1000
            cost = (work.transactions + lines) / thousands
            growth.point(noted, size=size, cost=cost, unit="transactions and lines")
    growth.holds(first, exponent=0.1, at_most=EVICTION_BATCH)
    growth.holds(turn, exponent=0.1, at_most=EVICTION_BATCH)
    growth.holds(noted, exponent=0.1, at_most=20)


async def test_g1_downloads_that_wait_for_another_process(growth: Growth, tmp_path: Path) -> None:
    """They hold no thread: what else the store does is done meanwhile."""
    what = "G1 downloads that wait for room, threads that they hold"
    for size in growth.sizes(DOWNLOADS):
        with FilledStore.of(tmp_path / str(size), blobs=0) as store:
            queue = store.queue(quota=FIRST)
            lock = os.open(store.layout.evictor_lock, os.O_RDWR | os.O_CREAT, 0o600)
            assert lock_exclusively(lock)
            waiting = [
                asyncio.create_task(
                    queue.make_room(Wanted(1, 1), _take, NOBODY_IN_PARTICULAR)
                    if number % 2
                    else queue.as_only_one(_nothing)  # as whoever keeps what has come
                )
                for number in range(size)
            ]
            most = 0
            for _ in range(LOOKS):
                await asyncio.sleep(0.002)
                most = max(most, _threads_that_make_room())
            growth.point(what, size=size, cost=most, unit="threads")
            await _all_are_free_but_one()
            assert not any(task.done() for task in waiting)
            os.close(lock)
            await asyncio.gather(*waiting)
    growth.holds(what, exponent=0.1, at_most=1)


async def test_g10_an_approval(growth: Growth, tmp_path: Path) -> None:
    """Of any connection: the store asks which access keys have rights, and reads none of them."""
    approval, file = "G10 approval, steps of SQLite", "G10 index when all rights ended, bytes"
    for size in growth.sizes(RIGHTS):
        with FilledStore.of(tmp_path / str(size), blobs=0, rights=size) as store:
            with store.counted() as work:
                assert not store.rights.end_all_but(
                    {access_key_of(number) for number in range(CONNECTIONS)}
                )
            growth.point(approval, size=size, cost=work.steps, unit="steps")
            assert store.rights.end_all_but(set()) == CONNECTIONS
            while store.index.shrink(SPARE_PAGES):
                pass
            growth.point(file, size=size, cost=store.layout.index.stat().st_size, unit="bytes")
    growth.holds(approval, exponent=0.1, at_most=1_000)
    growth.holds(file, exponent=0.1)


def _take(_: int) -> None:
    """Take a grant."""


def _nothing() -> None:
    """Do nothing, as the only one."""


def _threads_that_make_room() -> int:
    """Return how many threads are in the code that waits for the machine's lock, or holds it."""
    files = {evictor.__file__, room_queue.__file__}
    own, frames = threading.get_ident(), sys._current_frames()  # noqa: SLF001 - nothing else tells
    return sum(_is_in(files, frame) for ident, frame in frames.items() if ident != own)


def _is_in(files: set[str], frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename not in files:
        frame = frame.f_back
    return frame is not None


async def _all_are_free_but_one() -> None:
    """Return if so many threads of the store are free at once; else the barrier breaks."""
    barrier = threading.Barrier(STORE_THREADS - 1)
    await asyncio.gather(
        *(in_store_thread(barrier.wait, BARRIER_SECONDS) for _ in range(STORE_THREADS - 1))
    )
