"""What arrives is written in its order, by one thread at a time, and soon."""

import asyncio
import random
import threading
import time

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from facade.arrivals.gather_budget import LEAST_GATHERED_BYTES, MAX_GATHERED_BYTES, GatherBudget
from facade.arrivals.ingest_writer import GATHERED_BYTES, IngestWriter
from facade.loop.thread_work import finish_in_thread
from tests.support.eventually import eventually

TINY_HOLD_SECONDS = 0.0005  # so that the timer falls into everything else
NEVER_SECONDS = 3600.0  # the timer has no part in it
MANY = 128


@define
class SlowFile:
    """What a thread wrote, and that no two did at once."""

    pause_seconds: float = 0.0
    fails_at: int | None = None
    content: bytearray = field(factory=bytearray)
    told: int = 0
    _one_at_a_time: threading.Lock = field(factory=threading.Lock)

    def write(self, chunks: list[bytes]) -> None:
        """Write as a disk does: after a while, or not at all."""
        assert self._one_at_a_time.acquire(blocking=False)
        try:
            time.sleep(self.pause_seconds * random.random())  # noqa: S311 - no secret
            if self.fails_at is not None and len(self.content) >= self.fails_at:
                raise OSError("the disk is full")
            for chunk in chunks:
                self.content += chunk
        finally:
            self._one_at_a_time.release()

    async def write_in_thread(self, chunks: list[bytes]) -> None:
        """Write as a flight does."""
        await finish_in_thread(self.write, chunks)

    def written(self) -> None:
        """Be told that there is more."""
        assert self.told < len(self.content)
        self.told = len(self.content)


@pytest.mark.parametrize("seed", range(5))
async def test_everything_is_written_in_its_order(seed: int) -> None:
    """However the timer, a full gathering and the thread fall together."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    file = SlowFile(pause_seconds=0.002)
    writer = IngestWriter(file.write_in_thread, file.written, TINY_HOLD_SECONDS)
    sent = bytearray()
    for number in range(150):
        chunk = bytes([number % 251]) * chance.choice((1, 1000, 300_000, GATHERED_BYTES))
        sent += chunk
        await writer.put(chunk)
        if chance.random() < 0.5:
            await asyncio.sleep(chance.random() * 0.002)
    await writer.settle()
    assert file.content == sent
    assert file.told == len(sent)
    await writer.stop()


async def test_a_slow_registrys_bytes_are_not_kept_waiting() -> None:
    """A chunk is written although nothing follows it."""
    file = SlowFile()
    writer = IngestWriter(file.write_in_thread, file.written)
    await writer.put(b"a")
    await eventually(lambda: file.told == 1)
    await writer.put(b"b")
    await eventually(lambda: file.told == 2)
    await writer.stop()


async def test_a_first_read_waits_for_nothing_and_later_ones_are_put_together() -> None:
    """A device waits for its first byte; a hop to a thread for each chunk would cost it dearly."""
    file, writes = SlowFile(), list[int]()

    async def write(chunks: list[bytes]) -> None:
        writes.append(sum(map(len, chunks)))
        await file.write_in_thread(chunks)

    writer = IngestWriter(write, file.written, hold_seconds=NEVER_SECONDS)
    for _ in range(64):
        await writer.put(bytes(LEAST_GATHERED_BYTES))
    await writer.settle()
    await writer.stop()
    assert writes[:3] == [LEAST_GATHERED_BYTES, 4 * LEAST_GATHERED_BYTES, GATHERED_BYTES]
    assert set(writes[2:-1]) == {GATHERED_BYTES}


async def test_a_failed_write_is_told_to_whoever_brings_more() -> None:
    """And nothing is written behind the gap."""
    file = SlowFile(fails_at=0)
    writer = IngestWriter(file.write_in_thread, file.written, TINY_HOLD_SECONDS)
    full = b"x" * GATHERED_BYTES
    await writer.put(full)
    with pytest.raises(OSError, match="full"):
        await writer.put(full)
    with pytest.raises(OSError, match="full"):
        await writer.settle()
    await writer.stop()
    assert not file.content
    assert file.told == 0


async def test_stopping_waits_for_the_thread() -> None:
    """Its file's descriptor is closed next."""
    file = SlowFile(pause_seconds=0.2)
    writer = IngestWriter(file.write_in_thread, file.written)
    await writer.put(b"x" * GATHERED_BYTES)
    stopping = asyncio.create_task(writer.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait([stopping])
    assert len(file.content) == GATHERED_BYTES


async def test_many_that_wait_for_a_disk_hold_no_more_than_a_few() -> None:
    """One device may have 64 arrivals under way, and there may be many devices."""
    budget, disk, chunk = GatherBudget(), threading.Event(), bytes(LEAST_GATHERED_BYTES)

    async def hang(_: list[bytes]) -> None:
        await finish_in_thread(disk.wait)

    writers = [IngestWriter(hang, lambda: None, budget=budget) for _ in range(MANY)]
    taken = [0] * MANY

    async def bring(number: int) -> None:
        while True:
            await writers[number].put(chunk)
            taken[number] += len(chunk)

    bringing = [asyncio.create_task(bring(number)) for number in range(MANY)]
    await eventually(lambda: min(taken) >= budget.share)
    for _ in range(100):
        await asyncio.sleep(0)
    assert sum(taken) <= 2 * MAX_GATHERED_BYTES
    for task in bringing:
        task.cancel()
    await asyncio.wait(bringing)
    disk.set()
    for writer in writers:
        await writer.stop()
    assert budget.share == GATHERED_BYTES


@given(count=st.integers(0, 10_000))
def test_a_share_is_never_less_than_a_read_nor_more_than_is_of_use(count: int) -> None:
    """And together they are within the bound, unless there are very many."""
    budget = GatherBudget()
    for _ in range(count):
        budget.join()
    assert LEAST_GATHERED_BYTES <= budget.share <= GATHERED_BYTES
    assert count * budget.share <= max(MAX_GATHERED_BYTES, count * LEAST_GATHERED_BYTES)
