"""What has come of a blob: it goes on after whatever a disk has kept of it."""

import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_agent import partial as partials
from device_agent.partial import PIECE_BYTES, Partial

CONTENT = random.Random(7).randbytes(3 * PIECE_BYTES + 12_345)  # noqa: S311 the same bytes each time
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


def bring(path: Path, upto: int, step: int = 1_000_000) -> int:
    """Append what is missing up to a byte; return where it began."""
    with Partial.resume(path) as partial:
        start = partial.size
        for at in range(start, upto, step):
            partial.append(CONTENT[at : min(at + step, upto)])
        if upto == len(CONTENT):
            assert partial.digest == DIGEST
        return start


@given(
    came=st.integers(0, len(CONTENT)),
    kept=st.integers(0, len(CONTENT)),
    zeros=st.integers(0, 5_000),
    lines=st.integers(0, 40),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_cut_has_left_it_is_right_in_the_end(
    tmp_path: Path, came: int, kept: int, zeros: int, lines: int
) -> None:
    """The bytes may be fewer, or zeros, and the list may be torn anywhere."""
    path = tmp_path / hashlib.sha256(repr((came, kept, zeros, lines)).encode()).hexdigest()
    bring(path, came)
    with path.open("r+b") as file:
        file.truncate(min(kept, came))
        file.seek(0, 2)
        file.write(bytes(zeros))
    listed = path.with_name(path.name + ".pieces")
    with listed.open("r+b") as file:
        file.truncate(min(lines, listed.stat().st_size))
    start = bring(path, len(CONTENT))
    assert start <= min(came, kept + zeros)
    assert start >= min(came, kept, lines // 9 * PIECE_BYTES) // PIECE_BYTES * PIECE_BYTES
    path.unlink()
    listed.unlink()


def test_a_kill_costs_no_more_than_the_piece_in_flight(tmp_path: Path) -> None:
    """What was synced is not asked for again."""
    path = tmp_path / "blob"
    came = 2 * PIECE_BYTES + 999
    bring(path, came)
    assert came - bring(path, len(CONTENT)) < PIECE_BYTES


def test_a_rotten_piece_and_what_follows_is_asked_for_again(tmp_path: Path) -> None:
    """A disk may forget in the middle."""
    path = tmp_path / "blob"
    bring(path, len(CONTENT))
    with path.open("r+b") as file:
        file.seek(PIECE_BYTES + 1)
        file.write(b"rot")
    assert bring(path, len(CONTENT)) == PIECE_BYTES


def test_the_finished_blob_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither its bytes twice nor its list."""
    place = tmp_path / "place"
    with Partial.resume(tmp_path / "blob") as partial:
        partial.append(CONTENT)
        partial.finish(place)
    assert place.read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_partials_are_told_from_their_lists(tmp_path: Path) -> None:
    """What is forgotten is forgotten whole."""
    bring(tmp_path / "blob", 10)
    (path,) = partials.partial_files(tmp_path)
    partials.discard_partial(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", [1, 7, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1])
def test_pieces_of_any_size_come_to_the_same(tmp_path: Path, step: int) -> None:
    """The network's pieces are not the list's."""
    end = len(CONTENT) if step > 100 else 5_000
    assert bring(tmp_path / "blob", end, step) == 0
    assert (tmp_path / "blob").read_bytes() == CONTENT[:end]
