"""What the index counts as it changes is what there is, whoever changed it and whatever crashed."""

import gzip
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facade.rights.right import FlightKey, Right
from facade.rights.rights import RIGHTS_AT_ONCE
from facade.store.file_lock import lock_shared
from facade.store.index_file import size_of
from shared.oci import Digest, Kind, RepositoryName
from tests.support.mounts import small_disk
from tests.support.opened_index import OpenedIndex

# Made by the version before anything was counted: 20 blobs, 15 rights of "b", 16 of "a".
BEFORE = Path(__file__).with_name("index_of_version_before.sqlite3.gz")
APP, OTHER = RepositoryName.parse("team/app"), RepositoryName.parse("team/other")
A, B = "a" * 64, "b" * 64
MEDIA_TYPE = "application/octet-stream"
MANY, SPARE = 10_000, 100  # rights; pages
# How that version notes a right.
NOTED_BEFORE = "INSERT OR REPLACE INTO memberships VALUES (?, ?, ?, ?, ?, ?)"

digests = st.integers(0, 5).map(lambda number: Digest.of(b"%d" % number))
keys = st.builds(FlightKey, st.sampled_from((A, B)), st.sampled_from(Kind), digests)
rights = st.builds(Right, keys, st.sampled_from((APP, OTHER)))
sizes = st.integers(0, 2**40)
OF_CATALOGUE = ("added", "found", "removed", "evicted", "used")
changes = st.one_of(
    st.tuples(st.just("added"), digests, sizes),
    st.tuples(st.just("found"), digests, sizes),
    st.tuples(st.just("removed"), digests),
    st.tuples(st.just("evicted"), st.lists(digests)),
    st.tuples(st.just("used"), st.dictionaries(digests, st.integers(1, 3))),
    st.tuples(st.just("prove"), rights, st.just(MEDIA_TYPE)),
    st.tuples(st.just("prove_again"), rights),
    st.tuples(st.just("end"), rights),
    st.tuples(st.just("end_all_but"), st.sets(st.sampled_from((A, B)))),
    st.tuples(st.just("forget_surplus"), st.integers(0, 3)),
    st.tuples(st.just("forget_useless"), st.sampled_from((0.0, 1e12))),
)


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """Return what the file has."""
    with closing(sqlite3.connect(folder / "index.sqlite3")) as database:
        return database.execute(query).fetchall()


def require_right_counts(folder: Path) -> None:
    """`AssertionError` if something is counted that is not there, or the other way round."""
    counted = rows(folder, "SELECT blobs, bytes FROM totals")
    assert counted == rows(folder, "SELECT count(*), coalesce(sum(size), 0) FROM blobs")
    holders = rows(folder, "SELECT access_key, rights FROM holders ORDER BY 1")
    there = "SELECT access_key, count(*) FROM memberships GROUP BY 1 ORDER BY 1"
    assert holders == rows(folder, there)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[OpenedIndex]:
    """A new index."""
    with closing(OpenedIndex.open(tmp_path)) as index:
        yield index


@settings(max_examples=40)  # each makes a file
@given(steps=st.lists(st.tuples(st.integers(0, 1), changes), min_size=3, max_size=12))
def test_whatever_two_processes_change_is_counted(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, tuple[Any, ...]]]
) -> None:
    """Each change in the transaction that makes it."""
    folder = tmp_path_factory.mktemp("index")
    with closing(OpenedIndex.open(folder)) as one, closing(OpenedIndex.open(folder)) as other:
        for process, (change, *values) in steps:
            changed = (one, other)[process]
            store = changed.catalogue if change in OF_CATALOGUE else changed.rights
            getattr(store, change)(*values)
        require_right_counts(folder)
        assert other.catalogue.stored_blobs() == len(one.catalogue.least_used(-1))
        assert one.catalogue.stored_bytes() == sum(
            each.size for each in other.catalogue.least_used(-1)
        )
    shutil.rmtree(folder)


def test_a_crash_in_the_middle_of_an_eviction_counts_right(
    index: OpenedIndex, tmp_path: Path
) -> None:
    """What was not committed is neither gone nor counted so."""
    for number in range(10):
        index.catalogue.added(Digest.of(b"%d" % number), 100)
    dying = sqlite3.connect(tmp_path / "index.sqlite3", isolation_level=None)
    dying.execute("BEGIN IMMEDIATE")
    dying.execute("DELETE FROM blobs")
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for path in tmp_path.glob("index.sqlite3*"):
        shutil.copy(path, crashed)
    dying.close()
    with closing(OpenedIndex.open(crashed)) as again:
        assert (again.catalogue.stored_blobs(), again.catalogue.stored_bytes()) == (10, 1000)
        require_right_counts(crashed)


def test_an_index_of_the_version_before_is_counted_and_shrinks(tmp_path: Path) -> None:
    """With all that it knew. It is written anew for that, once."""
    path = tmp_path / "index.sqlite3"
    path.write_bytes(gzip.decompress(BEFORE.read_bytes()))
    assert rows(tmp_path, "PRAGMA auto_vacuum") == [(0,)]
    with closing(OpenedIndex.open(tmp_path)) as index:
        assert (index.catalogue.stored_blobs(), index.catalogue.stored_bytes()) == (
            20,
            sum(range(1000, 1020)),
        )
        assert rows(tmp_path, "SELECT * FROM holders ORDER BY 1") == [(A, 16), (B, 15)]
        assert (
            index.rights.proven(Right(FlightKey(A, Kind.BLOB, Digest.of(b"0")), OTHER)) is not None
        )
        assert rows(tmp_path, "PRAGMA auto_vacuum") == [(2,)]
        assert index.rights.end_all_but({B}) == 1
        require_right_counts(tmp_path)


def test_an_index_that_another_process_has_open_is_not_written_anew(tmp_path: Path) -> None:
    """The other could note nothing meanwhile. Who starts alone does it."""
    path = tmp_path / "index.sqlite3"
    path.write_bytes(gzip.decompress(BEFORE.read_bytes()))
    lock_path = tmp_path / "index.sqlite3.lock"
    lock_path.touch(mode=0o600)
    with lock_path.open("rb") as lock:
        lock_shared(lock.fileno())
        with closing(OpenedIndex.open(tmp_path)) as index:
            assert rows(tmp_path, "PRAGMA auto_vacuum") == [(0,)]
            assert index.catalogue.stored_blobs() == 20
            index.rights.end_all_but(set())
            assert not index.index.shrink(0)
    with closing(OpenedIndex.open(tmp_path)):
        assert rows(tmp_path, "PRAGMA auto_vacuum") == [(2,)]


def test_an_index_of_the_version_before_on_a_full_disk_is_added_up(tmp_path: Path) -> None:
    """The facade starts all the same; the next start counts."""
    with small_disk(tmp_path / "disk", 2**20) as folder:
        path = folder / "index.sqlite3"
        path.write_bytes(gzip.decompress(BEFORE.read_bytes()))
        with closing(sqlite3.connect(path)) as killed:  # its files beside the index are there still
            killed.execute("SELECT 1 FROM blobs").fetchall()
            with (folder / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
                while ballast.write(bytes(4096)):
                    pass
            index = OpenedIndex.open(folder)
        with closing(index):
            assert (index.catalogue.stored_blobs(), index.catalogue.stored_bytes()) == (
                20,
                sum(range(1000, 1020)),
            )
            (folder / "ballast").unlink()
            assert index.rights.end_all_but({B}) == 1
            assert index.rights.end_all_but({B}) == 0
        with closing(OpenedIndex.open(folder)):
            require_right_counts(folder)


def test_a_process_of_the_version_before_beside_this_one(
    index: OpenedIndex, tmp_path: Path
) -> None:
    """Its blobs are counted. A right that it notes again counts twice until the next start."""
    key = FlightKey(A, Kind.BLOB, Digest.of(b"blob"))
    index.rights.prove(Right(key, APP), MEDIA_TYPE)
    with closing(sqlite3.connect(tmp_path / "index.sqlite3")) as before, before:
        before.execute("INSERT OR IGNORE INTO blobs VALUES (?, 7, 1, 1, 0)", (str(key.digest),))
        right = (A, key.kind.value, str(key.digest), str(APP), MEDIA_TYPE, 1.0)
        before.execute(NOTED_BEFORE, right)
    assert (index.catalogue.stored_blobs(), index.catalogue.stored_bytes()) == (1, 7)
    assert rows(tmp_path, "SELECT rights FROM holders") == [(2,)]
    with closing(OpenedIndex.open(tmp_path)):
        require_right_counts(tmp_path)
    assert index.rights.end_all_but(set()) == 1
    assert not index.rights.has_any(key)
    require_right_counts(tmp_path)


def test_more_rights_than_are_ended_at_once_are_ended(index: OpenedIndex, tmp_path: Path) -> None:
    """In several transactions; others write in between."""
    fill_rights(tmp_path, A, 2 * RIGHTS_AT_ONCE)
    fill_rights(tmp_path, B, 3)
    assert index.rights.end_all_but({B}) == 1
    assert rows(tmp_path, "SELECT access_key, rights FROM holders") == [(B, 3)]
    require_right_counts(tmp_path)


def test_the_file_gives_back_what_it_does_not_need(index: OpenedIndex, tmp_path: Path) -> None:
    """It counts toward the quota: blobs went in its stead."""
    fill_rights(tmp_path, A, MANY)
    full = size_of(tmp_path / "index.sqlite3")
    index.rights.end_all_but(set())
    assert size_of(tmp_path / "index.sqlite3") > full / 2
    while index.index.shrink(0):
        pass
    checkpoint(tmp_path)
    assert size_of(tmp_path / "index.sqlite3") < full / 10


def test_a_little_room_stays_in_the_file(index: OpenedIndex, tmp_path: Path) -> None:
    """What is written next takes it."""
    fill_rights(tmp_path, A, MANY)
    index.rights.end_all_but(set())
    while index.index.shrink(SPARE):
        pass
    assert rows(tmp_path, "PRAGMA freelist_count") == [(SPARE,)]


def fill_rights(folder: Path, access_key: str, count: int) -> None:
    """Have a connection prove so many rights."""
    chance = random.Random(1)  # noqa: S311 - no secret
    rights = [
        (access_key, "blob", f"sha256:{chance.getrandbits(256):064x}", "team/app", MEDIA_TYPE, 1.0)
        for _ in range(count)
    ]
    with closing(sqlite3.connect(folder / "index.sqlite3")) as database, database:
        database.executemany(NOTED_BEFORE, rights)


def checkpoint(folder: Path) -> None:
    """Have SQLite write its log into the file."""
    rows(folder, "PRAGMA wal_checkpoint(TRUNCATE)")
