"""What is kept of a small read for the next one."""

from hypothesis import given
from hypothesis import strategies as st

from facade.store.last_piece import LastPiece
from facade.store.piece_checksums import CHECKED_BYTES

CONTENT = bytes(range(256)) * (2 * CHECKED_BYTES // 256)
PIECE = memoryview(CONTENT)[:CHECKED_BYTES]


@given(first=st.integers(0, 3 * CHECKED_BYTES), count=st.integers(1, CHECKED_BYTES))
def test_all_of_it_is_given_or_nothing(first: int, count: int) -> None:
    """Of a piece that does not begin the blob."""
    last = LastPiece()
    last.keep(CHECKED_BYTES, PIECE, 1)
    is_in_it = first >= CHECKED_BYTES and first + count <= 2 * CHECKED_BYTES
    place = first - CHECKED_BYTES
    assert last.read(first, count) == (PIECE[place : place + count] if is_in_it else None)


def test_what_a_device_takes_in_large_pieces_is_not_kept() -> None:
    """One that has stopped would hold it."""
    last = LastPiece()
    last.keep(0, PIECE, CHECKED_BYTES)
    assert last.read(0, 1) is None
    last.keep(0, memoryview(CONTENT), 2)
    assert last.read(0, 1) is None
