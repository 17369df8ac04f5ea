"""When a blob's stream waits for the registry and not for this process, and which one is left."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from facade.arrivals.answer_series import AnswerSeries
from facade.arrivals.blob_streams import BlobStream
from facade.arrivals.span_download import SpanDownload
from facade.arrivals.stream_growth import GrowthTerms
from facade.arrivals.widening import QUEUED_BYTES, Widening
from shared.oci import Kind, RepositoryName
from tests.faults.stored_world import Content, World

BLOB = Content("blob", Kind.BLOB, b"never asked for")
LENGTH = 1024 * 1024 * 1024
AT_ONCE = GrowthTerms(window_seconds=0, window_bytes=0, least_come=0)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two facades that could fetch it."""
    world = await World.start(tmp_path, LENGTH, "g")
    yield world
    await world.stop()


@pytest.mark.parametrize("read, streams", [(QUEUED_BYTES - 1, 2), (QUEUED_BYTES, 1)])
async def test_bytes_that_had_lain_in_the_socket_were_not_waited_for(
    world: World, read: int, streams: int
) -> None:
    """A herd's blob was bought 1.03 times: its first stream was cut while its socket was full."""
    async with world.processes[0].upstreams.lease(world.hosts["g"].connection) as upstream:
        widening = Widening(upstream, AT_ONCE, lambda: None)
        repository = RepositoryName.parse("team/app")
        stream = BlobStream(
            SpanDownload(LENGTH, 0, LENGTH, AnswerSeries(upstream, repository, BLOB.digest))
        )
        stream.download.has_begun = True
        for _ in range(2):  # a window is between two looks
            widening.look([stream], LENGTH)
            widening.note(read, 3600.0)
        widening.look([stream], LENGTH)
        assert widening.wanted == streams


async def test_a_stream_alone_is_left_if_another_one_of_its_blob_was(world: World) -> None:
    """Every second answer of a registry crawled, and each kept its blob for minutes."""
    now = 0.0
    async with world.processes[0].upstreams.lease(world.hosts["g"].connection) as upstream:
        widening = Widening(upstream, AT_ONCE, lambda: None, lambda: now)

        def stream(*, is_further: bool = False, has_begun: bool = False) -> BlobStream:
            repository = RepositoryName.parse("team/app")
            span = SpanDownload(LENGTH, 0, LENGTH, AnswerSeries(upstream, repository, BLOB.digest))
            span.has_begun = has_begun
            return BlobStream(span, is_further=is_further)

        def left(*streams: BlobStream, has_ranges: bool = True) -> BlobStream | None:
            """Return which of these is left an hour later; they bring nothing meanwhile."""
            nonlocal now
            widening.slowest(streams, has_ranges=has_ranges)
            now += 3600.0
            return widening.slowest(streams, has_ranges=has_ranges)

        first = stream(has_begun=True)
        while widening.wanted == 1:
            widening.note(QUEUED_BYTES - 1, 3600.0)
            now += 1.0
            widening.look([first], LENGTH)
        dead, alone = stream(is_further=True), stream()
        assert left(alone) is None
        assert left(first, dead) is not None
        widening.rest()
        assert left(alone, has_ranges=False) is None  # it would begin again, each time
        assert left(alone) is alone
