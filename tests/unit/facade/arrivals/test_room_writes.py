"""The writes of an arriving blob: nothing is written for which the quota has made no room."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from facade.arrivals.claimed_room import FIRST_ROOM_BYTES, ClaimedRoom
from facade.arrivals.room_writes import RoomWrites
from facade.store.blob_store import Asker, BlobStore
from facade.store.ingest_file import OwnedIngest
from shared.oci import RepositoryName

ACCESS_KEY: Final = "key"
STREAMS: Final = 4
LENGTH: Final = STREAMS * FIRST_ROOM_BYTES


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """A store with room for the blob."""
    with closing(BlobStore.open(tmp_path / "cache", LENGTH)) as store:
        yield store


@pytest.fixture
def ingest(tmp_path: Path) -> Iterator[OwnedIngest]:
    """The file of a blob that begins to arrive."""
    ingest = OwnedIngest.acquire(tmp_path / "arriving")
    assert ingest is not None
    yield ingest
    ingest.release()


async def test_room_is_made_for_what_several_streams_write_at_once(
    store: BlobStore, ingest: OwnedIngest
) -> None:
    """Whoever waits until another one has written needs room behind that."""
    room = ClaimedRoom(store, ingest, ACCESS_KEY)
    await room.begin(LENGTH, 0, RepositoryName.parse("team/app"))
    writes = RoomWrites(store, ingest, room, Asker(ACCESS_KEY), 0)
    chunk = bytes(FIRST_ROOM_BYTES)
    async with asyncio.TaskGroup() as group:
        for place in range(STREAMS):
            sink = ingest.segment(place * len(chunk), LENGTH)
            write = partial(sink.append, [chunk])
            group.create_task(writes.segment(sink, write, len(chunk)))
    announced = ingest.announced
    assert announced is not None
    assert announced.room == ingest.allocated == LENGTH
