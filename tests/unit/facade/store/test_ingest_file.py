"""An arriving file has one owner, is never rewritten, and tells its state to other processes."""

import asyncio
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.store.announcement import ANNOUNCEMENT, Announcement
from facade.store.arriving_file import CHECKSUMS, DATA, ArrivingFile, RottenArrivalError
from facade.store.followed_ingest import FollowedIngest
from facade.store.ingest_file import PROOF, OwnedIngest
from facade.store.piece_checksums import CHECKED_BYTES, PieceChecksums, length_header
from shared.oci import RepositoryName
from tests.support.page_cache import tells_what_is_cached
from tests.support.rot import rot

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


def read(file: ArrivingFile, offset: int, count: int) -> bytes:
    """Return what can be read at once, or by waiting if the kernel does not tell what is cached."""
    piece = file.read_nowait(offset, count)
    return bytes(asyncio.run(file.read(offset, count)) if piece is None else piece)


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
    assert (reader.announced.length, reader.file.size, reader.file.has_owner) == (10, 5, True)
    assert not reader.is_proven(tmp_path / "nowhere")
    assert not reader.file.is_unlinked
    ingest.release()
    assert not reader.file.has_owner
    reader.file.close()


def test_a_length_that_nobody_knows_is_the_file_s_own_once_it_is_proven(
    folder: Path, tmp_path: Path
) -> None:
    """Only whole checked pieces may be read before."""
    content = bytes(3 * CHECKED_BYTES + 5)
    ingest = owned(folder)
    ingest.announce(None, REPOSITORY, room=10)
    ingest.append([content])
    ingest.claim(len(content))
    assert ingest.announced == Announcement(None, REPOSITORY, len(content))
    reader = followed(folder)
    assert (reader.file.length, reader.file.checked) == (None, 3 * CHECKED_BYTES)
    ingest.prove()
    assert reader.is_proven(tmp_path / "nowhere")
    reader.file.end()
    assert (reader.file.length, reader.file.checked) == (len(content), len(content))
    assert read(reader.file, 0, len(content)) == content
    reader.file.close()
    ingest.release()
    owned(folder).release()  # a proven one of a dead owner is known, too


def test_a_file_that_is_not_as_long_as_it_was_has_no_end(folder: Path) -> None:
    """Its writer said how long it is: a shorter one would look whole."""
    ingest = owned(folder)
    ingest.announce(None, REPOSITORY, room=0)
    ingest.append([b"content"])
    reader = followed(folder)
    with pytest.raises(RottenArrivalError):
        reader.file.end()  # it was not proven
    ingest.prove()
    os.truncate(folder / DATA, 3)
    with pytest.raises(RottenArrivalError):
        reader.file.end()
    reader.file.close()
    ingest.discard()


@given(
    length=st.none() | st.integers(0, 2**62),
    room=st.integers(0, 2**62),
    key=st.none() | st.text("0123456789abcdef", min_size=1),
    foreign=st.text(max_size=20),
)
def test_an_announcement_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    length: int | None,
    room: int,
    key: str | None,
    foreign: str,
) -> None:
    """And what is none of ours is none, or reads as one."""
    folder = tmp_path_factory.mktemp("flight")
    announced = Announcement(length, REPOSITORY, room, key)
    announced.write(folder)
    assert Announcement.read(folder) == announced
    (folder / ANNOUNCEMENT).write_text(foreign)
    other = Announcement.read(folder)
    assert other is None or other.length in (None, other.room)


@pytest.mark.parametrize(
    "written,announced",
    [
        ("5002 team/app", Announcement(5002, REPOSITORY, 5002)),
        ("?300000 team/app", Announcement(None, REPOSITORY, 300_000)),
    ],
)
def test_what_an_earlier_version_announced_is_read(
    tmp_path: Path, written: str, announced: Announcement
) -> None:
    """It left a partial, which the new version goes on with."""
    (tmp_path / ANNOUNCEMENT).write_text(written)
    assert Announcement.read(tmp_path) == announced


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
    assert list(ingest.left()) == [b"half"]
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
    assert reader.file.is_unlinked
    again = owned(folder)
    assert (again.announced, again.size) == (None, 0)
    again.announce(3, REPOSITORY)
    again.append([b"new"])
    assert read(reader.file, 0, 3) == b"bad"
    assert not reader.is_proven(tmp_path / "nowhere")
    assert not followed(folder).is_proven(tmp_path / "nowhere")
    again.release()
    reader.file.close()


def test_a_proof_that_the_disk_has_damaged_is_none(folder: Path, tmp_path: Path) -> None:
    """Bytes that are no text ended the pull of whoever reads along."""
    ingest = owned(folder)
    ingest.announce(1, REPOSITORY)
    ingest.append([b"x"])
    ingest.prove()
    (folder / PROOF).write_bytes(b"\xff\xfe")
    reader = followed(folder)
    assert not reader.is_proven(tmp_path / "nowhere")
    ingest.release()
    reader.file.close()


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
    reader.file.close()


def test_the_proven_file_is_moved_to_its_place(folder: Path, tmp_path: Path) -> None:
    """Followers go on reading the same inode, and know it by its place."""
    ingest = owned(folder)
    ingest.announce(5, REPOSITORY)
    ingest.append([b"right"])
    reader = followed(folder)
    blob, checksums = tmp_path / "blobs" / "ab" / "abcd", tmp_path / "blobs" / "ab" / "abcd.xxh3"
    ingest.prove()
    ingest.move(blob, checksums)
    ingest.release()
    assert blob.read_bytes() == b"right"
    stored = PieceChecksums.of_length(checksums.read_bytes(), 5)
    assert stored is not None
    assert stored.hold(0, b"right")
    assert reader.is_proven(blob)
    assert not reader.file.is_unlinked
    assert read(reader.file, 1, 3) == b"igh"
    assert not folder.exists()
    reader.file.close()


@pytest.mark.parametrize(
    "left",
    [
        {ANNOUNCEMENT: "7 team/app", PROOF: "99", DATA: ""},
        {ANNOUNCEMENT: "x", DATA: ""},
        {DATA: "the beginning of something"},
        {ANNOUNCEMENT: "7", PROOF: "99", DATA: "begin"},
        {ANNOUNCEMENT: "7 team/app", DATA: "begin"},
        {ANNOUNCEMENT: "7 team/app", DATA: "begin", CHECKSUMS: "of something else"},
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


CONTENT = bytes(range(251)) * 400  # three pieces, and some


def arriving(folder: Path, count: int) -> OwnedIngest:
    """Return a blob in our hands of which so much has come."""
    ingest = owned(folder)
    ingest.announce(len(CONTENT), REPOSITORY)
    ingest.append([CONTENT[:count]])
    return ingest


@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=6))
def test_what_is_read_is_what_came(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    """In whole pieces, as they come; the last one, which is short, with the proof."""
    folder = tmp_path_factory.mktemp("ingest") / "flight"
    ingest = arriving(folder, 0)
    reader = ingest.reader(len(CONTENT))
    for start, end in itertools.pairwise([0, *sorted(cuts), len(CONTENT)]):
        ingest.append([CONTENT[start:end]])
        assert reader.checked == end - end % CHECKED_BYTES
        if reader.checked:
            assert read(reader, 1, reader.checked - 1) == CONTENT[1 : reader.checked]
    assert reader.size == len(CONTENT)
    ingest.prove()
    assert reader.checked == len(CONTENT)
    assert read(reader, 0, len(CONTENT)) == CONTENT
    reader.close()
    ingest.release()


@pytest.mark.parametrize("file", [DATA, CHECKSUMS])
async def test_what_rotted_while_it_arrives_is_not_given(folder: Path, file: str) -> None:
    """A slow device reads hours behind: the disk has forgotten a byte meanwhile."""
    ingest = arriving(folder, 2 * CHECKED_BYTES)
    rot(folder / file, 20)  # of its first piece; of its second piece's checksum
    for reader in (ingest.reader(len(CONTENT)), followed(folder).file):
        rotten, good = (0, CHECKED_BYTES) if file == DATA else (CHECKED_BYTES, 0)
        assert await reader.read(good, 100) == CONTENT[good : good + 100]
        if tells_what_is_cached(folder):
            with pytest.raises(RottenArrivalError):
                reader.read_nowait(rotten + 100, 1)
        else:
            assert reader.read_nowait(rotten + 100, 1) is None
            with pytest.raises(RottenArrivalError):
                await reader.read(rotten + 100, 1)
        with pytest.raises(RottenArrivalError):
            await reader.read(0, 2 * CHECKED_BYTES)
        reader.close()
    ingest.release()


@pytest.mark.parametrize("way", ["at once", "waiting"])
async def test_small_parts_of_what_arrives_are_read_and_checked_once(
    folder: Path, way: str
) -> None:
    """Those that lie beside each other, for whichever reader."""
    ingest = arriving(folder, 2 * CHECKED_BYTES)
    waits = way == "waiting" or not tells_what_is_cached(folder)
    reader = ingest.reader(len(CONTENT))
    places = (0, 100, CHECKED_BYTES - 100)
    parts = [
        await reader.read(first, 100) if waits else reader.read_nowait(first, 100)
        for first in places
    ]
    given = [part for part in parts if part is not None]
    assert b"".join(given) == b"".join(CONTENT[first : first + 100] for first in places)
    assert len({id(part.obj) for part in given}) == 1
    assert await reader.read(CHECKED_BYTES - 1, 2) == CONTENT[CHECKED_BYTES - 1 :][:2]
    reader.close()
    ingest.release()


async def test_what_was_cut_while_it_arrives_is_not_given(folder: Path) -> None:
    """As above."""
    ingest = arriving(folder, 2 * CHECKED_BYTES)
    reader = ingest.reader(len(CONTENT))
    os.truncate(folder / DATA, CHECKED_BYTES + 5)
    assert reader.read_nowait(CHECKED_BYTES, 1) is None
    with pytest.raises(RottenArrivalError):
        await reader.read(CHECKED_BYTES, 1)
    reader.close()
    ingest.release()


@pytest.mark.parametrize("file", [DATA, CHECKSUMS])
def test_what_rotted_after_its_owner_died_is_not_gone_on_with(folder: Path, file: str) -> None:
    """Its digest would be wrong, but only at its end."""
    arriving(folder, 2 * CHECKED_BYTES).release()
    rot(folder / file, 20)
    ingest = owned(folder)
    with pytest.raises(RottenArrivalError):
        list(ingest.left())
    ingest.discard()


@pytest.mark.parametrize("left_bytes", [0, 3, 8, 11, 16])
def test_checksums_that_a_dead_owner_did_not_write_are_written(
    folder: Path, left_bytes: int
) -> None:
    """It died between the bytes and their checksums, or in the middle of one."""
    arriving(folder, 2 * CHECKED_BYTES + 7).release()
    os.truncate(folder / CHECKSUMS, len(length_header(0)) + left_bytes)
    ingest = owned(folder)
    reader = ingest.reader(len(CONTENT))
    assert reader.checked == left_bytes // 8 * CHECKED_BYTES
    assert b"".join(ingest.left()) == CONTENT[: 2 * CHECKED_BYTES + 7]
    assert reader.checked == 2 * CHECKED_BYTES
    ingest.append([CONTENT[2 * CHECKED_BYTES + 7 :]])
    ingest.prove()
    assert read(reader, 0, len(CONTENT)) == CONTENT
    reader.close()
    ingest.release()


def test_nothing_is_appended_to_what_was_not_read(folder: Path) -> None:
    """Its checksums would be of other bytes."""
    arriving(folder, 7).release()
    ingest = owned(folder)
    with pytest.raises(ValueError, match="gap"):
        ingest.append([b"more"])
    ingest.discard()


def test_a_full_disk_is_tried_again_where_it_was_full(folder: Path) -> None:
    """What was written stays, and is hashed once."""
    ingest = arriving(folder, 0)
    reader = ingest.reader(len(CONTENT))
    chunks = [CONTENT[:50_000], CONTENT[50_000:]]
    os.pwrite(ingest.descriptor, CONTENT[:70_000], 0)  # as far as the first try came
    ingest.append(chunks, from_size=0)
    ingest.prove()
    assert read(reader, 0, len(CONTENT)) == CONTENT
    reader.close()
    ingest.release()


def test_who_comes_while_the_folder_goes_is_told_that_somebody_has_it(tmp_path: Path) -> None:
    """Attempts that end at once, in threads and processes: each makes the folder and removes it."""

    def attempt(_: int) -> None:
        for _ in range(200):
            ingest = OwnedIngest.acquire(tmp_path / "flight")
            if ingest is not None:
                ingest.release()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(attempt, range(4)))
    assert not (tmp_path / "flight").exists()
