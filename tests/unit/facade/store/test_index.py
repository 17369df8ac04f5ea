"""A damaged index is made anew, and one that fails breaks no pull."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import product
from pathlib import Path

import pytest

from facade.rights.right import FlightKey, Right
from facade.store.index import Index, IndexFailedError
from facade.store.index_file import PAGE_CACHE_BYTES, IndexFile, IndexInUseError
from shared.oci import OCI_MANIFEST, Digest, Kind, RepositoryName
from tests.support.closed_meanwhile import closed_meanwhile
from tests.support.opened_index import OpenedIndex

APP, OTHER = RepositoryName.parse("team/app"), RepositoryName.parse("team/other")
KEY = FlightKey("a" * 64, Kind.MANIFEST, Digest.of(b"content"))
ANOTHERS = FlightKey("b" * 64, Kind.MANIFEST, Digest.of(b"content"))
AS_BLOB = FlightKey("a" * 64, Kind.BLOB, Digest.of(b"content"))

DAMAGED_ROWS = {
    "no digest": ("sha356:" + "a" * 64, 1),
    "no hex": ("sha256:" + "a" * 63 + "q", 1),
    "short": ("sha256:" + "a" * 63, 1),
    "no size": (str(Digest.of(b"content")), -1),
}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[OpenedIndex]:
    """A new index."""
    with closing(OpenedIndex.open(tmp_path)) as index:
        yield index


def test_both_connections_keep_a_bounded_number_of_pages(tmp_path: Path) -> None:
    """Whatever bound this machine's SQLite was built with."""
    with closing(IndexFile.open(tmp_path / "index.sqlite3", tmp_path / "aside")) as file:
        for each in (file.writer, file.reader):
            assert each.execute("PRAGMA cache_size").fetchall() == [(-PAGE_CACHE_BYTES // 1024,)]


@pytest.mark.parametrize(
    "damage",
    ["garbage", "cut", "middle", "another version", "no digest", "no hex", "short", "no size"],
)
def test_a_damaged_index_is_put_aside_and_made_anew(tmp_path: Path, damage: str) -> None:
    """Rights are proven again; a person may look at what was there."""
    with closing(OpenedIndex.open(tmp_path)) as index:
        for number in range(500):
            index.rights.prove(
                Right(FlightKey("a" * 64, Kind.BLOB, Digest.of(b"%d" % number)), APP), "x"
            )
        index.rights.prove(Right(KEY, APP), OCI_MANIFEST)
    path = tmp_path / "index.sqlite3"
    content = bytearray(path.read_bytes())
    match damage:
        case "garbage":
            path.write_bytes(b"not a database, but as long as one" * 1000)
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "middle":
            content[4096 : len(content) - 4096] = b"\xff" * (len(content) - 8192)
            path.write_bytes(content)
        case "another version":
            with closing(sqlite3.connect(path)) as database:
                database.execute("PRAGMA user_version = 77")
        case _:  # a flipped bit in a row, which SQLite knows nothing of
            digest, size = DAMAGED_ROWS[damage]
            with closing(sqlite3.connect(path, isolation_level=None)) as database:
                database.execute("INSERT INTO blobs VALUES (?, ?, 1, 1, 0)", (digest, size))
    with closing(OpenedIndex.open(tmp_path)) as again:
        assert not again.rights.has_any(KEY)
        again.rights.prove(Right(KEY, APP), OCI_MANIFEST)
        assert again.rights.has_any(KEY)
    assert any((tmp_path / "aside").iterdir())


def test_a_damaged_index_is_not_taken_from_another_process(tmp_path: Path) -> None:
    """It goes on writing where it does: two truths would be worse than none."""
    with closing(OpenedIndex.open(tmp_path)) as index:
        with closing(sqlite3.connect(tmp_path / "index.sqlite3")) as database:
            database.execute("PRAGMA user_version = 77")
        with pytest.raises(IndexInUseError):
            IndexFile.open(tmp_path / "index.sqlite3", tmp_path / "aside", wait_seconds=0.2)
        index.rights.prove(Right(KEY, APP), OCI_MANIFEST)
        assert index.rights.has_any(KEY)
    with closing(OpenedIndex.open(tmp_path)) as again:
        assert not again.rights.has_any(KEY)


def test_a_row_that_is_damaged_later_is_an_index_that_fails(
    index: OpenedIndex, tmp_path: Path
) -> None:
    """A pull that makes room goes on with the registry's bytes; it was answered 500."""
    with closing(sqlite3.connect(tmp_path / "index.sqlite3", isolation_level=None)) as database:
        database.execute("INSERT INTO blobs VALUES (?, ?, 1, 1, 0)", DAMAGED_ROWS["no hex"])
    with pytest.raises(IndexFailedError):
        index.catalogue.least_used(10)
    with pytest.raises(IndexFailedError):
        index.catalogue.least_scrubbed(time.time(), 10)


def test_an_index_that_cannot_be_written_gives_what_it_has(
    index: OpenedIndex, tmp_path: Path
) -> None:
    """What was proven is read; what is denied now is read no more, though it cannot be written."""
    index.rights.prove(Right(KEY, APP), OCI_MANIFEST)
    index.rights.prove(Right(KEY, OTHER), OCI_MANIFEST)
    with unwritable(tmp_path):
        assert index.rights.proven(Right(KEY, APP)) is not None
        index.rights.prove(Right(ANOTHERS, APP), OCI_MANIFEST)
        assert index.rights.proven(Right(ANOTHERS, APP)) is None
        index.rights.end(Right(KEY, APP))
        assert index.rights.proven(Right(KEY, APP)) is None
        assert index.rights.proven(Right(KEY, OTHER)) is not None
        with pytest.raises(IndexFailedError):
            index.catalogue.added(Digest.of(b"more"), 4)
    index.rights.write_ends()
    with closing(OpenedIndex.open(tmp_path)) as another:
        assert another.rights.proven(Right(KEY, APP)) is None


def test_an_index_that_cannot_be_read_gives_nobody_a_right(tmp_path: Path) -> None:
    """Upstream is asked, and streams."""
    index = OpenedIndex.open(tmp_path)
    index.rights.prove(Right(KEY, APP), OCI_MANIFEST)
    index.close()
    assert index.rights.proven(Right(KEY, APP)) is None
    assert not index.rights.has_any(KEY)
    index.rights.prove(Right(KEY, APP), OCI_MANIFEST)
    with pytest.raises(IndexFailedError):
        index.catalogue.stored_bytes()


def test_a_lost_file_is_a_new_index(tmp_path: Path) -> None:
    """Somebody emptied the folder."""
    with closing(OpenedIndex.open(tmp_path)) as index:
        index.rights.prove(Right(KEY, APP), OCI_MANIFEST)
    for path in tmp_path.glob("index.sqlite3*"):
        path.unlink()
    shutil.rmtree(tmp_path / "aside")
    with closing(OpenedIndex.open(tmp_path)) as again:
        assert again.rights.proven(Right(KEY, APP)) is None
        assert again.catalogue.least_used(-1) == []


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Have every write of the index fail; reads go on."""
    tables = ("memberships", "blobs")
    with closing(sqlite3.connect(folder / "index.sqlite3", isolation_level=None)) as database:
        for table, change in product(tables, ("INSERT", "UPDATE", "DELETE")):
            database.execute(
                f"CREATE TRIGGER {change}_{table} BEFORE {change} ON {table}"
                " BEGIN SELECT RAISE(FAIL, 'no'); END"
            )
        yield
        for table, change in product(tables, ("INSERT", "UPDATE", "DELETE")):
            database.execute(f"DROP TRIGGER {change}_{table}")


@pytest.mark.parametrize("use", [Index.reading, Index.transaction])
def test_it_is_not_closed_in_the_middle_of_what_a_thread_does_with_it(
    tmp_path: Path, use: Callable[[Index], AbstractContextManager[sqlite3.Connection]]
) -> None:
    """Nobody can cancel a thread, and SQLite under its feet would end the process."""
    index = OpenedIndex.open(tmp_path).index
    with closed_meanwhile() as begin, use(index) as database:
        assert not begin(index.close).done()
        assert database.execute("SELECT 1").fetchall() == [(1,)]


def test_whoever_comes_after_the_end_finds_nothing(tmp_path: Path) -> None:
    """A thread that was about to look is not told of as a failure of the disk."""
    opened = OpenedIndex.open(tmp_path)
    opened.rights.prove(Right(KEY, APP), OCI_MANIFEST)
    opened.close()
    opened.rights.look()
    assert opened.rights.proven(Right(KEY, APP)) is None
