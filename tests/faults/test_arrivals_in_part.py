"""Blobs that stay partly present: what is there is used, costs nothing more, and heals."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from facade.arrivals.answer_series import AnswerSeries, Asks
from facade.arrivals.span_download import SpanDownload
from facade.content.source import Blob, PullInProgress
from facade.registries.payer import FREE
from facade.registries.spender import spending
from facade.store.ingest_file import OwnedIngest
from facade.store.partials import ABANDONED_SECONDS, Partials
from facade.values.byte_range import Span
from facade.values.piece import PIECE_BYTES
from facade.values.pull_path import Pull
from shared.oci import RepositoryName
from tests.faults.mixtures import BLOB, LENGTH, REPOSITORY, Account, bought, pulled, serve
from tests.faults.stored_files import come
from tests.faults.stored_world import Process, World
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import BreaksEvery, Honest, Slow


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two facades' stores on one folder, before a registry that has the blob."""
    world = await World.start(tmp_path, 64 * PIECE_BYTES, "g")
    yield world
    await world.stop()


@asynccontextmanager
async def opened(world: World, process: Process) -> AsyncIterator[Blob]:
    """Give the blob as an answer of one process has it."""
    host = world.hosts["g"]
    pull = Pull(host.simulator.host, RepositoryName.parse(REPOSITORY), BLOB.kind, BLOB.digest)
    asked = PullInProgress(pull, host.connection, process.upstreams, FREE)
    async with process.content.blob(asked) as blob:
        yield blob


async def begun(world: World, process: Process) -> asyncio.Task[bytes | None]:
    """Return a pull of the whole of which some has come."""
    host = world.hosts["g"]
    whole = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, None))
    partial = world.partial(host, BLOB, REPOSITORY)
    await eventually(lambda: come(partial, LENGTH).count > PIECE_BYTES)
    return whole


def pull_paid_by(
    world: World, account: Account, span: tuple[int, int] | None
) -> asyncio.Task[bytes | None]:
    """Pull on somebody's account."""
    with spending(account):
        pull = world.processes[0].pull(world.hosts["g"], REPOSITORY, BLOB, span)
        return asyncio.create_task(pull)


@pytest.mark.parametrize("second", [(10 * PIECE_BYTES, 16 * PIECE_BYTES), None])
async def test_each_pays_for_what_is_fetched_for_it(
    world: World, second: tuple[int, int] | None
) -> None:
    """Not whoever began the arrival, for all that others want of it."""
    serve(world, Slow(PIECE_BYTES // 4, 0.01))
    beginner, other = Account(), Account()
    begun = pull_paid_by(world, beginner, (0, 3 * PIECE_BYTES))
    await eventually(lambda: beginner.spent > 0)
    also = pull_paid_by(world, other, second)
    assert await begun == BLOB.content[: 3 * PIECE_BYTES]
    assert await also == BLOB.content[slice(*second) if second else slice(None)]
    await world.settled()
    assert beginner.spent <= 4 * PIECE_BYTES
    assert other.spent >= 5 * PIECE_BYTES


async def test_what_is_there_buys_nothing_more(world: World) -> None:
    """However often it is asked for: the registry only says that the blob is there."""
    serve(world, Honest())
    span = (5 * PIECE_BYTES, 6 * PIECE_BYTES)
    for _ in range(5):
        assert await pulled(world, [span]) == [BLOB.content[slice(*span)]]
        await world.settled()
    assert bought(world) == PIECE_BYTES


async def test_what_is_read_is_not_abandoned(world: World) -> None:
    """Although nothing more of it is asked for: who reads a few files of an image asks so."""
    serve(world, Honest())
    span = (5 * PIECE_BYTES, 6 * PIECE_BYTES)
    assert await pulled(world, [span]) == [BLOB.content[slice(*span)]]
    await world.settled()
    path = world.partial(world.hosts["g"], BLOB, REPOSITORY)
    long_ago = time.time() - 2 * ABANDONED_SECONDS
    os.utime(path, (long_ago, long_ago))
    assert await pulled(world, [span]) == [BLOB.content[slice(*span)]]
    await world.settled()
    Partials(path.parent.parent).drop_abandoned()
    assert path.exists()


async def test_what_rotted_is_bought_anew_once(world: World) -> None:
    """Checksums reached the disk before a power cut, and what they are of did not."""
    serve(world, Honest())
    span = (5 * PIECE_BYTES, 6 * PIECE_BYTES)
    assert await pulled(world, [span]) == [BLOB.content[slice(*span)]]
    await world.settled()
    with world.partial(world.hosts["g"], BLOB, REPOSITORY).open("r+b") as file:
        file.seek(span[0])
        file.write(bytes(PIECE_BYTES))
    assert await pulled(world, [span]) == [BLOB.content[slice(*span)]]
    await world.settled()
    world.hosts["g"].simulator.requests.clear()
    for _ in range(3):
        assert await pulled(world, [span]) == [BLOB.content[slice(*span)]]
        await world.settled()
    assert bought(world) == PIECE_BYTES


async def test_a_reader_beside_whose_blob_has_just_been_kept(world: World) -> None:
    """Its range is not noted any more, and it gets its bytes."""
    serve(world, Slow(PIECE_BYTES, 0.01))
    whole = await begun(world, world.processes[1])
    async with opened(world, world.processes[0]) as blob:
        assert await whole == BLOB.content
        folder = world.partial(world.hosts["g"], BLOB, REPOSITORY).parent
        await eventually(lambda: not folder.exists())
        part = await blob.part(Span(0, 8 * PIECE_BYTES, LENGTH))
        body = b"".join([bytes(piece) async for piece in part.pieces])
    assert body == BLOB.content[: 8 * PIECE_BYTES]


async def test_who_left_buys_nothing_for_a_reader_of_another_process(world: World) -> None:
    """While somebody there reads a range, no more than that is fetched."""
    serve(world, Slow(PIECE_BYTES // 4, 0.015))
    whole = await begun(world, world.processes[1])
    async with opened(world, world.processes[0]) as blob:
        part = await blob.part(Span(0, 12 * PIECE_BYTES + 2, LENGTH))
        assert await anext(part.pieces)
        whole.cancel()
        await asyncio.gather(whole, return_exceptions=True)
        await asyncio.sleep(1.5)  # all would come in less
        assert not world.is_stored(BLOB)
        partial = world.partial(world.hosts["g"], BLOB, REPOSITORY)
        assert come(partial, LENGTH).count <= 15 * PIECE_BYTES


async def test_what_is_written_again_counts_once(tmp_path: Path) -> None:
    """A process was killed between bytes and their checksums, and the quota is hardly more."""
    world = await World.start(tmp_path, LENGTH + 4096, "g")
    try:
        serve(world, Honest())
        path = world.partial(world.hosts["g"], BLOB, REPOSITORY)
        ingest = OwnedIngest.acquire(path.parent)
        assert ingest is not None
        ingest.announce(LENGTH, RepositoryName.parse(REPOSITORY))
        path.write_bytes(BLOB.content[: LENGTH // 2])
        ingest.release()
        assert await pulled(world, [None]) == [BLOB.content]
        await eventually(lambda: world.is_stored(BLOB))
    finally:
        await world.stop()


async def test_the_whole_is_resumed_where_its_answer_broke(world: World) -> None:
    """Who is asked for the whole may give ranges all the same, and break after some MiB."""
    serve(world, BreaksEvery(2 * PIECE_BYTES + 3))
    host, repository = world.hosts["g"], RepositoryName.parse(REPOSITORY)
    async with world.processes[0].upstreams.lease(host.connection) as upstream:
        span = SpanDownload(
            LENGTH, 0, LENGTH, AnswerSeries(upstream, repository, BLOB.digest, Asks.REST)
        )
        body = b"".join([chunk async for chunk in span.chunks()])
        await span.close()
    assert body == BLOB.content
