"""What is shared is what was read, within a bound, and only while somebody reads beside."""

from hypothesis import given
from hypothesis import strategies as st

from facade.store.shared_pieces import RECENT_PIECES, BlobReaders, RecentReads


def readers(count: int, recent: RecentReads | None = None) -> BlobReaders:
    """Return so many readers of one blob."""
    together = BlobReaders(recent or RecentReads())
    for _ in range(count):
        together.join()
    return together


def read(together: BlobReaders, offset: int, limit: int = 100) -> bytes | None:
    """Return what is shared."""
    piece = together.piece_at(offset, limit)
    return None if piece is None else bytes(piece)


def test_a_piece_is_shared_with_the_others() -> None:
    """From where it was read, and no more of it than was asked for."""
    together = readers(2)
    together.share(10, memoryview(bytearray(b"piece")))
    assert read(together, 10) == b"piece"
    assert read(together, 10, 2) == b"pi"
    assert read(together, 11) is None


def test_a_shared_piece_cannot_be_changed() -> None:
    """One device's bytes are every other one's."""
    together = readers(2)
    together.share(0, memoryview(bytearray(b"piece")))
    shared = together.piece_at(0, 5)
    assert shared is not None
    assert shared.readonly


def test_nothing_is_kept_for_a_lonely_reader() -> None:
    """It would cost memory, and nobody would be served."""
    alone = readers(1)
    alone.share(0, memoryview(b"piece"))
    assert read(alone, 0) is None


def test_what_nobody_reads_any_more_is_let_go() -> None:
    """Memory belongs to those who pull."""
    together = readers(2)
    together.share(0, memoryview(b"piece"))
    together.leave()
    assert read(together, 0) == b"piece"
    together.leave()
    together.join()
    assert read(together, 0) is None


def test_a_small_part_of_what_was_read_counts_as_all_of_it() -> None:
    """It keeps all of it: ranges of one byte each would keep a whole blob in memory."""
    together = readers(2, RecentReads(25))
    for offset in (0, 10, 20):
        together.share(offset, memoryview(bytearray(10))[3:4])
    assert [read(together, offset) for offset in (0, 10, 20)] == [None, b"\0", b"\0"]


def test_tiny_pieces_are_bounded_by_their_number() -> None:
    """Each is an object: blobs of two bytes, which many images have, would be millions of them."""
    recent = RecentReads()
    groups = [readers(2, recent) for _ in range(RECENT_PIECES + 3)]
    for group in groups:
        group.share(0, memoryview(b"{}"))
    assert [read(group, 0) for group in groups].count(None) == 3
    assert [read(group, 0) for group in groups[:3]] == [None] * 3


@given(
    max_bytes=st.integers(9, 45),
    reads=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=40),
)
def test_all_blobs_together_keep_no_more_than_the_bound(
    max_bytes: int, reads: list[tuple[int, int]]
) -> None:
    """However many are read at once; the newest piece is there, and each is its blob's own."""
    recent = RecentReads(max_bytes)
    blobs = [readers(2, recent) for _ in range(3)]
    for number, offset in reads:
        blobs[number].share(offset, memoryview(piece_of(number, offset)))
        assert read(blobs[number], offset) == piece_of(number, offset)
        kept = [(which, at) for which in range(3) for at in range(10) if read(blobs[which], at)]
        assert sum(len(piece_of(which, at)) for which, at in kept) <= max_bytes
        for which, at in kept:
            assert read(blobs[which], at) == piece_of(which, at)


def piece_of(number: int, offset: int) -> bytes:
    """Return a piece of a blob, at most 9 bytes, of another length at another offset."""
    return f"{number} {offset}".encode() + b"." * (offset % 7)
