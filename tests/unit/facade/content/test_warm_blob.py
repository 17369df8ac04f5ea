"""A stored blob that turns out to be rotten while it is read."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from attrs import frozen

from facade.content.piece_size import SMALL_BYTES, PieceSize, nobody_says
from facade.content.source import Blob, BlobPart
from facade.content.warm_blob import RottenContentError, StoredPieces, WarmBlob
from facade.store.blob_store import BlobStore
from facade.store.piece_checksums import CHECKED_BYTES
from facade.values.byte_range import Span
from facade.values.piece import PIECE_BYTES
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


async def test_the_first_piece_is_read_once_and_what_is_behind_it_again(store: BlobStore) -> None:
    """What rots meanwhile shows it: the first piece was read before, and is what it was."""
    digest = await keep(store, CONTENT)
    blob = await store.open_blob(digest)
    assert blob is not None
    short = StoredPieces(store, blob, 10, 10 + SMALL_BYTES // 2)
    long = StoredPieces(store, blob, 0, len(CONTENT))
    for pieces in (short, long):
        await pieces.check_beginning(PIECE_BYTES)
    with store.layout.blob(digest).open("r+b") as file:
        file.write(bytes(len(CONTENT)))
    assert short.next_nowait() == CONTENT[10 : 10 + SMALL_BYTES // 2]
    assert short.next_nowait() is None
    with pytest.raises(StopAsyncIteration):
        await anext(short)
    assert await anext(long) == CONTENT[:SMALL_BYTES]
    with pytest.raises(RottenContentError):
        await anext(long)
    blob.close()


async def test_a_beginning_that_the_kernel_takes_whole_is_read_once(store: BlobStore) -> None:
    """It is the first piece: what rots meanwhile shows that nothing of it is read again."""
    digest = await keep(store, CONTENT)
    blob = await store.open_blob(digest)
    assert blob is not None
    pieces = StoredPieces(store, blob, 0, len(CONTENT), PieceSize(0.0, lambda: len(CONTENT)))
    await pieces.check_beginning(PIECE_BYTES)
    with store.layout.blob(digest).open("r+b") as file:
        file.write(bytes(len(CONTENT)))
    assert await anext(pieces) == CONTENT
    blob.close()


async def test_a_beginning_that_another_reader_shared_may_not_be_all(store: BlobStore) -> None:
    """Of a small blob, too: what looked like all of it was the one byte that others asked for."""
    content = CONTENT[: SMALL_BYTES // 2]
    digest = await keep(store, content)
    readers = [await store.open_blob(digest) for _ in range(3)]
    lonely, second, third = (each for each in readers if each is not None)
    assert bytes(await second.read(0, 1)) == content[:1]
    pieces = StoredPieces.at_hand(store, third, nobody_says)
    assert pieces is not None
    assert not pieces.is_next_last
    assert b"".join(iter(pieces.next_nowait, None)) == content
    assert not pieces.left
    for each in (lonely, second, pieces):
        each.close()
    alone = await store.open_blob(digest)
    assert alone is not None
    whole = StoredPieces.at_hand(store, alone, nobody_says)
    assert whole is not None
    assert whole.is_next_last
    assert whole.next_nowait() == content
    whole.close()


async def test_a_rotten_span_is_brought_again_and_of_later_ones_one_piece_is_looked_at(
    store: BlobStore,
) -> None:
    """Before anything of the span was sent; the rest is found while it is read."""
    digest = await keep(store, CONTENT)
    blob = await store.open_blob(digest)
    assert blob is not None
    with store.layout.blob(digest).open("r+b") as file:
        file.seek(SMALL_BYTES)
        file.write(bytes(SMALL_BYTES))
    brought: list[Span] = []

    async def bring_anew() -> Blob:
        return Other(brought)

    warm = WarmBlob(store, blob, bring_anew)
    whole = Span.whole(len(CONTENT))
    await warm.part(whole)
    assert brought == [whole]
    later = await warm.part(whole)
    assert brought == [whole]
    with pytest.raises(RottenContentError):
        [piece async for piece in later.pieces]
    behind = Span(SMALL_BYTES, 1, len(CONTENT))
    await warm.part(behind)
    assert brought == [whole, behind]
    blob.close()


@frozen
class Other:
    """A blob that is brought again, and what is asked of it."""

    asked: list[Span]
    length: int = len(CONTENT)
    gives_spans: bool = True
    verifies_parts: bool = True

    def expect(self, spans: Sequence[Span]) -> None:
        """Do nothing, for nobody asks."""
        assert not spans

    async def whole(self) -> BlobPart:
        """Return nothing, for nobody asks."""
        raise AssertionError

    async def part(self, span: Span) -> BlobPart:
        """Note the span."""
        self.asked.append(span)
        return BlobPart(_nothing())


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for piece in nothing:
        yield piece
