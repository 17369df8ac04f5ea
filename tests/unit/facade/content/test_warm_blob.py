"""A stored blob that turns out to be rotten while it is read."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from facade.content.piece_size import SMALL_BYTES
from facade.content.warm_blob import RottenContentError, StoredPieces
from facade.store.blob_store import BlobStore
from facade.store.piece_checksums import CHECKED_BYTES
from tests.unit.facade.store.test_quota import keep

QUOTA = 1024 * 1024
CONTENT = bytes(range(256)) * (4 * CHECKED_BYTES // 256)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """A store."""
    with closing(BlobStore.open(tmp_path / "cache", QUOTA)) as store:
        yield store


async def test_a_reader_of_what_was_put_aside_puts_nothing_else_aside(store: BlobStore) -> None:
    """A fleet that reads one rotten file would have each new one fetched again, one by one."""
    digest = await keep(store, CONTENT)
    first, second = await store.open_blob(digest), await store.open_blob(digest)
    assert first is not None
    assert second is not None
    with store.layout.blob(digest).open("r+b") as file:
        file.write(b"rot")
    with pytest.raises(RottenContentError):
        await anext(StoredPieces(store, first, 0, first.length))
    assert not store.has(digest)
    assert await keep(store, CONTENT) == digest
    with pytest.raises(RottenContentError):
        await anext(StoredPieces(store, second, 0, second.length))
    assert store.has(digest)
    first.close()
    second.close()


async def test_a_short_span_is_read_once_and_a_long_one_again(store: BlobStore) -> None:
    """What rots meanwhile shows it: the short one was read before, and is what it was."""
    digest = await keep(store, CONTENT)
    blob = await store.open_blob(digest)
    assert blob is not None
    short = StoredPieces(store, blob, 10, 10 + SMALL_BYTES // 2)
    long = StoredPieces(store, blob, 0, 2 * SMALL_BYTES)
    for pieces in (short, long):
        await pieces.check_beginning()
    with store.layout.blob(digest).open("r+b") as file:
        file.write(b"rot")
    assert short.next_nowait() == CONTENT[10 : 10 + SMALL_BYTES // 2]
    assert short.next_nowait() is None
    with pytest.raises(StopAsyncIteration):
        await anext(short)
    with pytest.raises(RottenContentError):
        await anext(long)
    blob.close()
