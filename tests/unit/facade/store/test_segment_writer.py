"""Segments of an arriving file, written in any order: what has a checksum is not written again."""

import itertools
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.store.arriving_file import DATA
from facade.store.growing_checksums import MAX_GATHERED_CHUNKS
from facade.store.ingest_file import OwnedIngest
from facade.store.piece_checksums import CHECKED_BYTES, PieceChecksums
from facade.values.coverage import Coverage
from facade.values.piece import WrongBytesError
from shared.oci import RepositoryName

CONTENT = random.Random(3).randbytes(9 * CHECKED_BYTES + 77)  # noqa: S311 - any bytes will do
LENGTH = len(CONTENT)
PIECES = -(-LENGTH // CHECKED_BYTES)


def owned(folder: Path) -> OwnedIngest:
    """Return an arriving file in our hands."""
    ingest = OwnedIngest.acquire(folder)
    assert ingest is not None
    ingest.announce(LENGTH, RepositoryName("team/app"))
    return ingest


def write(ingest: OwnedIngest, first: int, end: int, step: int, content: bytes = CONTENT) -> int:
    """Write a segment in chunks; return how many bytes of it were new."""
    sink = ingest.segment(first, LENGTH)
    for start in range(first, end, step):
        sink.append([content[start : min(end, start + step)]])
    return sink.new_bytes


@given(
    order=st.permutations(range(PIECES)),
    cuts=st.sets(st.integers(1, PIECES - 1)),
    step=st.integers(4_999, 3 * CHECKED_BYTES),
)
def test_whatever_the_order_all_of_it_is_there(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cuts: set[int], step: int
) -> None:
    """And is found again by the next owner, and is what a stored blob has."""
    folder = tmp_path_factory.mktemp("ingest") / "flight"
    ingest, come = owned(folder), Coverage()
    bounds = [0, *sorted(cuts), PIECES]
    segments = list(itertools.pairwise(bounds))
    for place in sorted(range(len(segments)), key=lambda each: order[each]):
        first, last = segments[place]
        begin, end = first * CHECKED_BYTES, min(LENGTH, last * CHECKED_BYTES)
        assert write(ingest, begin, end, step) == end - begin
        come.add(begin, end)
        assert list(ingest.come(LENGTH)) == list(come)
        assert ingest.allocated >= come.count - CHECKED_BYTES
    reader = ingest.reader(LENGTH)
    assert bytes(reader.read_now(0, LENGTH)) == CONTENT
    assert reader.run_end(0) == LENGTH
    reader.close()
    ingest.prove()
    blob, checksums = folder.parent / "ab" / "blob", folder.parent / "ab" / "sums"
    ingest.move(blob, checksums)
    ingest.release()
    stored = PieceChecksums.of_length(checksums.read_bytes(), LENGTH)
    assert stored is not None
    assert stored.hold(0, blob.read_bytes())


def test_what_is_there_is_compared_and_not_written(tmp_path: Path) -> None:
    """A reader may have been given it."""
    ingest = owned(tmp_path / "flight")
    write(ingest, 2 * CHECKED_BYTES, 4 * CHECKED_BYTES, 9_000)
    assert write(ingest, 0, LENGTH, 50_000) == LENGTH - 2 * CHECKED_BYTES
    other = bytearray(CONTENT)
    other[3 * CHECKED_BYTES + 5] ^= 1
    with pytest.raises(WrongBytesError):
        write(ingest, 0, LENGTH, 50_000, bytes(other))
    assert (ingest.folder / DATA).read_bytes() == CONTENT
    ingest.discard()


def test_less_than_a_piece_is_not_there(tmp_path: Path) -> None:
    """Whoever wrote it died; the piece is written again."""
    ingest = owned(tmp_path / "flight")
    write(ingest, 0, CHECKED_BYTES + 100, 9_000)
    assert list(ingest.come(LENGTH)) == [(0, CHECKED_BYTES)]
    assert write(ingest, CHECKED_BYTES, 2 * CHECKED_BYTES, 9_000) == CHECKED_BYTES
    assert list(ingest.come(LENGTH)) == [(0, 2 * CHECKED_BYTES)]
    ingest.discard()


def test_a_full_disk_is_tried_again(tmp_path: Path) -> None:
    """The same chunks, whether their bytes or their checksums did not fit."""
    ingest = owned(tmp_path / "flight")
    sink, chunks = ingest.segment(0, LENGTH), [CONTENT]
    checksums = sink._checksums  # noqa: SLF001 - a disk that is full for one of the two files
    sink._checksums = os.open(os.devnull, os.O_RDONLY)  # noqa: SLF001 - as above
    with pytest.raises(OSError, match="descriptor"):
        sink.append(chunks)
    os.close(sink._checksums)  # noqa: SLF001 - as above
    sink._checksums = checksums  # noqa: SLF001 - as above
    sink.append(chunks)
    assert list(ingest.come(LENGTH)) == [(0, LENGTH)]
    reader = ingest.reader(LENGTH)
    assert bytes(reader.read_now(0, LENGTH)) == CONTENT
    reader.close()
    ingest.discard()


def test_however_small_the_chunks_they_are_written_behind_each_other(tmp_path: Path) -> None:
    """A slow registry sends many before they are written together; a call takes only so many."""
    ingest = owned(tmp_path / "flight")
    sink, count = ingest.segment(0, LENGTH), 2 * MAX_GATHERED_CHUNKS + 7
    sink.append([CONTENT[place : place + 1] for place in range(count)])
    sink.append([CONTENT[count:]])
    assert (ingest.folder / DATA).read_bytes() == CONTENT
    assert sink.new_bytes == LENGTH
    ingest.discard()


def test_a_disk_that_takes_less_than_a_write_gets_the_rest_or_says_why_not(tmp_path: Path) -> None:
    """Here there is a limit on what a file may have; a full disk does the same."""
    path, limit = tmp_path / "file", 100_000
    program = (
        "import os, resource, sys;"
        "from facade.store.growing_checksums import write_gathered;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "write_gathered(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), [b'a' * 60_000] * 2, 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=False
    )
    assert "File too large" in ended.stderr
    assert path.read_bytes() == b"a" * limit


def test_a_segment_begins_with_a_piece(tmp_path: Path) -> None:
    """Its checksums would be of other bytes."""
    ingest = owned(tmp_path / "flight")
    with pytest.raises(ValueError, match="piece"):
        ingest.segment(7, LENGTH)
    ingest.discard()
