"""Rot is found by the piece, however the bytes came."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from facade.store.piece_checksums import CHECKED_BYTES, PieceChecksums, PieceHasher

CONTENT = bytes(range(256)) * (CHECKED_BYTES // 256) * 2 + b"the last, short piece"


def checksums_of(content: bytes, *cuts: int) -> bytes:
    """Return the checksums of a content that comes in chunks."""
    hasher = PieceHasher()
    edges = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    for start, end in itertools.pairwise(edges):
        hasher.update(content[start:end])
    return hasher.finish()


@given(st.lists(st.integers(0, 2**32), max_size=12))
def test_chunks_do_not_matter(cuts: list[int]) -> None:
    """Upstream's pieces are not ours."""
    assert checksums_of(CONTENT, *cuts) == checksums_of(CONTENT)


def test_every_whole_piece_holds() -> None:
    """The last one is shorter."""
    checksums = PieceChecksums.of_length(checksums_of(CONTENT), len(CONTENT))
    assert checksums is not None
    for piece in range(3):
        assert checksums.hold(piece, CONTENT[piece * CHECKED_BYTES : (piece + 1) * CHECKED_BYTES])


@given(at=st.integers(0, len(CONTENT) - 1), flip=st.integers(1, 255))
def test_one_changed_byte_is_seen(at: int, flip: int) -> None:
    """That is what they are for."""
    checksums = PieceChecksums.of_length(checksums_of(CONTENT), len(CONTENT))
    assert checksums is not None
    rotten = bytearray(CONTENT)
    rotten[at] ^= flip
    piece = at // CHECKED_BYTES
    assert not checksums.hold(piece, rotten[piece * CHECKED_BYTES : (piece + 1) * CHECKED_BYTES])


def test_checksums_of_another_length_are_not_used() -> None:
    """A file that was cut, or whose checksums were, is rotten."""
    checksums = checksums_of(CONTENT)
    assert PieceChecksums.of_length(checksums[:-8], len(CONTENT)) is None
    assert PieceChecksums.of_length(checksums, len(CONTENT) - CHECKED_BYTES) is None
    assert PieceChecksums.of_length(checksums, len(CONTENT) - 1) is None
    assert PieceChecksums.of_length(b"", 0) is None
    assert PieceChecksums.of_length(checksums_of(b""), 0) is not None
