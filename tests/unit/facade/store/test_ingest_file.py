"""An arriving file has one owner, is never rewritten, and tells its state to other processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facade.store.ingest_file import (
    ANNOUNCEMENT,
    DATA,
    PROOF,
    Announcement,
    FollowedIngest,
    OwnedIngest,
)
from shared.oci import RepositoryName

REPOSITORY = RepositoryName("team/app")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A flight's folder."""
    return tmp_path / "flight"


def owned(folder: Path) -> OwnedIngest:
    """Return the folder's file in our hands."""
    ingest = OwnedIngest.acquire(folder)
    assert ingest is not None
    return ingest


def followed(folder: Path) -> FollowedIngest:
    """Return the folder's file, open for reading."""
    ingest = FollowedIngest.open(folder)
    assert ingest is not None
    return ingest


def test_a_file_has_one_owner(folder: Path) -> None:
    """Two downloads of one digest would be two reads from upstream."""
    first = owned(folder)
    assert OwnedIngest.acquire(folder) is None
    first.append([b"x"])
    first.release()
    owned(folder).release()


def test_a_follower_sees_length_progress_and_owner(folder: Path, tmp_path: Path) -> None:
    """Everything that another process has to know is in the file system."""
    ingest = owned(folder)
    assert FollowedIngest.open(folder) is None
    ingest.announce(10, REPOSITORY)
    ingest.append([b"hel", b"lo"])
    reader = followed(folder)
    assert (reader.announced.length, reader.size, reader.has_owner) == (10, 5, True)
    assert not reader.is_proven(tmp_path / "nowhere")
    assert not reader.is_discarded
    ingest.release()
    assert not reader.has_owner
    reader.close()


def test_what_a_dead_owner_left_is_taken_over(folder: Path) -> None:
    """A killed process's lock is gone with it."""
    program = (
        "import os, sys, pathlib; from facade.store.ingest_file import OwnedIngest;"
        "from shared.oci import RepositoryName;"
        "i = OwnedIngest.acquire(pathlib.Path(sys.argv[1]));"
        "i.announce(9, RepositoryName('team/app'));"
        "i.append([b'half']); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, folder], check=False)
    ingest = owned(folder)
    assert (ingest.announced, ingest.size) == (Announcement(9, REPOSITORY), 4)
    ingest.append([b"whole"])
    assert os.pread(ingest.descriptor, 99, 0) == b"halfwhole"
    ingest.release()


def test_a_discarded_attempt_never_mixes_with_the_next(folder: Path, tmp_path: Path) -> None:
    """Whoever read the wrong bytes sees that they are gone; the next attempt is another file."""
    ingest = owned(folder)
    ingest.announce(3, REPOSITORY)
    ingest.append([b"bad"])
    reader = followed(folder)
    ingest.prove()
    ingest.discard()
    assert reader.is_discarded
    again = owned(folder)
    assert (again.announced, again.size) == (None, 0)
    again.announce(3, REPOSITORY)
    again.append([b"new"])
    assert os.pread(reader.descriptor, 9, 0) == b"bad"
    assert not reader.is_proven(tmp_path / "nowhere")
    assert not followed(folder).is_proven(tmp_path / "nowhere")
    again.release()
    reader.close()


def test_a_proof_is_of_this_file_alone(folder: Path, tmp_path: Path) -> None:
    """A crash may leave a proof behind; it proves nothing of the next attempt."""
    ingest = owned(folder)
    ingest.announce(1, REPOSITORY)
    ingest.append([b"x"])
    ingest.prove()
    reader = followed(folder)
    assert reader.is_proven(tmp_path / "nowhere")
    (folder / PROOF).write_text("1")
    assert not reader.is_proven(tmp_path / "nowhere")
    ingest.release()
    reader.close()


def test_the_proven_file_is_moved_to_its_place(folder: Path, tmp_path: Path) -> None:
    """Followers go on reading the same inode, and know it by its place."""
    ingest = owned(folder)
    ingest.announce(5, REPOSITORY)
    ingest.append([b"right"])
    reader = followed(folder)
    blob, checksums = tmp_path / "blobs" / "ab" / "abcd", tmp_path / "blobs" / "ab" / "abcd.xxh3"
    ingest.prove()
    ingest.move(blob, checksums, b"12345678")
    ingest.release()
    assert blob.read_bytes() == b"right"
    assert checksums.read_bytes() == b"12345678"
    assert reader.is_proven(blob)
    assert not reader.is_discarded
    assert not folder.exists()
    reader.close()


@pytest.mark.parametrize(
    "left",
    [
        {ANNOUNCEMENT: "7 team/app", PROOF: "99", DATA: ""},
        {ANNOUNCEMENT: "x", DATA: ""},
        {DATA: "the beginning of something"},
        {ANNOUNCEMENT: "7", PROOF: "99", DATA: "begin"},
    ],
)
def test_a_crash_leaves_nothing_to_believe(folder: Path, left: dict[str, str]) -> None:
    """An empty file begins anew, and so does one of which nobody knows what it is."""
    folder.mkdir()
    for name, text in left.items():
        (folder / name).write_text(text)
    ingest = owned(folder)
    assert (ingest.announced, ingest.size) == (None, 0)
    ingest.release()
