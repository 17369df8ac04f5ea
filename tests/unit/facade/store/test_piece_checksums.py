"""Rot is found by the piece, however the bytes came."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from facade.store.piece_checksums import (
    CHECKED_BYTES,
    PieceChecksums,
    PieceHasher,
    checked_bytes,
    checked_span,
    checksums_span,
    have_checksums,
    length_header,
    pieces_there,
    runs_there,
)

CONTENT = bytes(range(256)) * (CHECKED_BYTES // 256) * 2 + b"the last, short piece"
LENGTH = len(CONTENT)


def checksums_of(content: bytes, *cuts: int) -> bytes:
    """Return the file of the checksums of a content that comes in chunks."""
    hasher, file = PieceHasher(), length_header(len(content))
    edges = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    for start, end in itertools.pairwise(edges):
        hasher.update(content[start:end])
        file += hasher.pop()
        assert hasher.taken == end
        assert checked_bytes(len(file), LENGTH) == end - end % CHECKED_BYTES
    hasher.end()
    return file + hasher.pop()


@given(st.lists(st.integers(0, 2**32), max_size=12))
def test_chunks_do_not_matter(cuts: list[int]) -> None:
    """Upstream's pieces are not ours; each checksum comes as soon as its piece is whole."""
    assert checksums_of(CONTENT, *cuts) == checksums_of(CONTENT)


def test_every_whole_piece_holds() -> None:
    """The last one is shorter."""
    checksums = PieceChecksums.of_length(checksums_of(CONTENT), LENGTH)
    assert checksums is not None
    for start in range(0, LENGTH, CHECKED_BYTES):
        assert checksums.hold(start, CONTENT[start : start + CHECKED_BYTES])
    assert checksums.hold(CHECKED_BYTES, CONTENT[CHECKED_BYTES:])


@given(at=st.integers(0, LENGTH - 1), flip=st.integers(1, 255))
def test_one_changed_byte_is_seen(at: int, flip: int) -> None:
    """That is what they are for."""
    checksums = PieceChecksums.of_length(checksums_of(CONTENT), LENGTH)
    assert checksums is not None
    rotten = bytearray(CONTENT)
    rotten[at] ^= flip
    start = at - at % CHECKED_BYTES
    assert not checksums.hold(start, rotten[start : start + CHECKED_BYTES])


@given(offset=st.integers(0, LENGTH - 1), count=st.integers(1, LENGTH))
def test_what_is_read_around_a_span_is_whole_pieces(offset: int, count: int) -> None:
    """And no more of them than it touches; their checksums lie where they are looked for."""
    start, size = checked_span(offset, min(count, LENGTH - offset), LENGTH)
    end = min(offset + count, LENGTH)
    assert offset - CHECKED_BYTES < start <= offset < end <= start + size
    assert start % CHECKED_BYTES == 0
    assert start + size == LENGTH or (start + size) % CHECKED_BYTES == 0
    assert start + size < end + CHECKED_BYTES
    at, count = checksums_span(start, size)
    assert have_checksums(CONTENT[start : start + size], checksums_of(CONTENT)[at : at + count])


@given(runs=st.lists(st.tuples(st.booleans(), st.integers(1, 70))), torn=st.binary(max_size=7))
def test_runs_are_what_is_told_of_each_piece(runs: list[tuple[bool, int]], torn: bytes) -> None:
    """What of a checksum a crash has left is none."""
    told = [is_there for is_there, count in runs for _ in range(count)]
    checksums = b"".join(b"\0\0\7\0\0\0\0\0" if each else bytes(8) for each in told)
    assert pieces_there(checksums) == told
    there = [False] * len(told)
    before = -1
    for first, end in runs_there(checksums + torn):
        assert before < first < end
        there[first:end] = [True] * (end - first)
        before = end
    assert there == told


def test_checksums_of_another_length_are_not_used() -> None:
    """A file that was cut, or whose checksums were, is rotten."""
    checksums = checksums_of(CONTENT)
    assert PieceChecksums.of_length(checksums[:-8], LENGTH) is None
    assert PieceChecksums.of_length(checksums, LENGTH - CHECKED_BYTES) is None
    assert PieceChecksums.of_length(checksums, LENGTH - 1) is None
    assert PieceChecksums.of_length(b"", 0) is None
    assert PieceChecksums.of_length(checksums_of(b""), 0) is not None


def test_a_file_without_its_beginning_has_checksums_of_nothing() -> None:
    """A crash left it so."""
    assert [checked_bytes(size, LENGTH) for size in (0, 7, 8, 15, 16)] == [
        0,
        0,
        0,
        0,
        CHECKED_BYTES,
    ]
    assert checked_bytes(1000, LENGTH) == LENGTH
