"""A stored blob that turns out to be rotten while it is read."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

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
