"""The index tells who may read what, also what another process wrote, and never breaks a pull."""

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import product
from pathlib import Path

import pytest
from attrs import evolve

from facade.metrics.store_metrics import StoreMetrics
from facade.store.index import NOTICED_WITHIN_SECONDS, Index, IndexFailedError
from facade.store.index_file import PAGE_CACHE_BYTES, IndexFile, IndexInUseError
from facade.store.layout import FlightKey
from shared.oci import OCI_MANIFEST, Digest, Kind, RepositoryName
from tests.support.clock import Clock

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


def opened(folder: Path, clock: Callable[[], float] = time.monotonic) -> Index:
    """Open the index of a folder."""
    aside = folder / "aside"
    aside.mkdir(exist_ok=True)
    return Index.open(folder / "index.sqlite3", aside, StoreMetrics.of_nobody(), clock)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """A new index."""
    with closing(opened(tmp_path)) as index:
        yield index


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Index]:
    """The same index, as another process has it open."""
    with closing(opened(tmp_path)) as other:
        yield other


def test_a_right_is_of_one_access_key_kind_digest_and_repository(index: Index) -> None:
    """Each of the four is a boundary."""
    index.prove(KEY, APP, OCI_MANIFEST)
    right = index.right(KEY, APP)
    assert right is not None
    assert right.media_type == OCI_MANIFEST
    assert right.proven_at == pytest.approx(time.time(), abs=60)
    for key, repository in ((KEY, OTHER), (ANOTHERS, APP), (AS_BLOB, APP)):
        assert index.right(key, repository) is None
    assert index.has_any_right(KEY)
    assert not index.has_any_right(ANOTHERS)
    assert not index.has_any_right(AS_BLOB)


def test_what_this_process_writes_holds_at_once(index: Index) -> None:
    """Whatever was remembered of it."""
    for _ in range(3):
        index.prove(KEY, APP, OCI_MANIFEST)
        assert index.right(KEY, APP) is not None
        index.end(KEY, APP)
        assert index.right(KEY, APP) is None


def test_what_another_process_proves_holds_at_once(index: Index, other: Index) -> None:
    """A right that is missing is not remembered: it would be downloaded a second time."""
    assert index.right(KEY, APP) is None
    other.prove(KEY, APP, OCI_MANIFEST)
    assert index.right(KEY, APP) is not None


def test_what_another_process_ends_is_noticed_within_the_bound(
    other: Index, tmp_path: Path
) -> None:
    """A right that is known is read from memory, and the file is asked every so often."""
    clock = Clock()
    with closing(opened(tmp_path, clock)) as index:
        other.prove(KEY, APP, OCI_MANIFEST)
        assert index.right(KEY, APP) is not None
        other.end(KEY, APP)
        assert index.right(KEY, APP) is not None
        clock.advance(NOTICED_WITHIN_SECONDS)
        assert index.right(KEY, APP) is None


def test_a_right_in_memory_outlives_what_else_is_written(other: Index, tmp_path: Path) -> None:
    """Each cold pull writes, in this process and in others: warm ones need not read for that."""
    clock = Clock()
    with closing(opened(tmp_path, clock)) as index:
        index.prove(KEY, APP, OCI_MANIFEST)
        assert index.right_nowait(KEY, APP) is None  # it was not read yet
        assert index.right(KEY, APP) is not None
        for writer, repository in ((index, APP), (other, OTHER)):
            writer.added(Digest.of(b"blob"), 4)
            writer.used({Digest.of(b"blob"): 1})
            writer.prove(ANOTHERS, repository, OCI_MANIFEST)
            index.look()
            assert index.right_nowait(KEY, APP) is not None
        clock.advance(NOTICED_WITHIN_SECONDS)
        assert index.right_nowait(KEY, APP) is None  # nobody has looked
        index.look()
        assert index.right_nowait(KEY, APP) is not None
        other.prove_again(KEY, APP)
        index.look()
        assert index.right_nowait(KEY, APP) is None  # its time is another


def test_an_index_without_the_count_of_changes_forgets_more_often(tmp_path: Path) -> None:
    """A disk without room for it is as good otherwise."""
    with closing(opened(tmp_path)):
        pass
    file = IndexFile.open(tmp_path / "index.sqlite3", tmp_path / "aside")
    file = evolve(file, changes_query="PRAGMA data_version")
    with closing(Index(file, StoreMetrics.of_nobody(), time.monotonic)) as index:
        index.prove(KEY, APP, OCI_MANIFEST)
        assert index.right(KEY, APP) is not None
        index.added(Digest.of(b"blob"), 4)
        index.look()
        assert index.right_nowait(KEY, APP) is None
        assert index.right(KEY, APP) is not None


def test_both_connections_keep_a_bounded_number_of_pages(tmp_path: Path) -> None:
    """Whatever bound this machine's SQLite was built with."""
    with closing(IndexFile.open(tmp_path / "index.sqlite3", tmp_path / "aside")) as file:
        for each in (file.writer, file.reader):
            assert each.execute("PRAGMA cache_size").fetchall() == [(-PAGE_CACHE_BYTES // 1024,)]


def test_a_proof_is_renewed_only_where_the_right_still_is(index: Index) -> None:
    """A proof under way while the connection ended gives nothing back."""
    index.prove(KEY, APP, OCI_MANIFEST)
    before = index.right(KEY, APP)
    index.prove_again(KEY, APP)
    after = index.right(KEY, APP)
    assert before is not None
    assert after is not None
    assert (after.media_type, after.proven_at >= before.proven_at) == (OCI_MANIFEST, True)
    index.end(KEY, APP)
    index.prove_again(KEY, APP)
    assert index.right(KEY, APP) is None


def test_access_keys_that_serve_no_more_lose_every_right(index: Index) -> None:
    """And the others none."""
    for repository in (APP, OTHER):
        index.prove(KEY, repository, OCI_MANIFEST)
        index.prove(ANOTHERS, repository, OCI_MANIFEST)
    assert index.end_all_but({ANOTHERS.access_key, "c" * 64}) == 1
    assert not index.has_any_right(KEY)
    assert index.right(ANOTHERS, OTHER) is not None
    assert index.end_all_but({ANOTHERS.access_key}) == 0


def test_old_rights_to_what_is_gone_are_forgotten(index: Index) -> None:
    """The index does not grow for ever; a right to what is stored stays, however old."""
    stored = FlightKey("a" * 64, Kind.BLOB, Digest.of(b"stored"))
    index.added(stored.digest, 6)
    for key in (KEY, stored):
        index.prove(key, APP, OCI_MANIFEST)
    index.forget_useless(time.time() - 60)
    assert index.has_any_right(KEY)
    index.forget_useless(time.time() + 60)
    assert not index.has_any_right(KEY)
    assert index.has_any_right(stored)


def test_a_writer_that_waits_keeps_no_reader(index: Index, tmp_path: Path) -> None:
    """Reads are on the loop; another process's long write blocks the thread that writes alone."""
    index.prove(KEY, APP, OCI_MANIFEST)
    blocker = sqlite3.connect(tmp_path / "index.sqlite3", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    waiting = threading.Thread(target=index.prove, args=(KEY, OTHER, OCI_MANIFEST))
    waiting.start()
    assert index.right(KEY, APP) is not None
    assert index.right(KEY, OTHER) is None
    assert waiting.is_alive()
    blocker.execute("COMMIT")
    blocker.close()
    waiting.join()
    assert index.right(KEY, OTHER) is not None


@pytest.mark.parametrize(
    "damage",
    ["garbage", "cut", "middle", "another version", "no digest", "no hex", "short", "no size"],
)
def test_a_damaged_index_is_put_aside_and_made_anew(tmp_path: Path, damage: str) -> None:
    """Rights are proven again; a person may look at what was there."""
    with closing(opened(tmp_path)) as index:
        for number in range(500):
            index.prove(FlightKey("a" * 64, Kind.BLOB, Digest.of(b"%d" % number)), APP, "x")
        index.prove(KEY, APP, OCI_MANIFEST)
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
    with closing(opened(tmp_path)) as again:
        assert not again.has_any_right(KEY)
        again.prove(KEY, APP, OCI_MANIFEST)
        assert again.has_any_right(KEY)
    assert any((tmp_path / "aside").iterdir())


def test_a_damaged_index_is_not_taken_from_another_process(tmp_path: Path) -> None:
    """It goes on writing where it does: two truths would be worse than none."""
    with closing(opened(tmp_path)) as index:
        with closing(sqlite3.connect(tmp_path / "index.sqlite3")) as database:
            database.execute("PRAGMA user_version = 77")
        with pytest.raises(IndexInUseError):
            IndexFile.open(tmp_path / "index.sqlite3", tmp_path / "aside", wait_seconds=0.2)
        index.prove(KEY, APP, OCI_MANIFEST)
        assert index.has_any_right(KEY)
    with closing(opened(tmp_path)) as again:
        assert not again.has_any_right(KEY)


def test_a_row_that_is_damaged_later_is_an_index_that_fails(index: Index, tmp_path: Path) -> None:
    """A pull that makes room goes on with the registry's bytes; it was answered 500."""
    with closing(sqlite3.connect(tmp_path / "index.sqlite3", isolation_level=None)) as database:
        database.execute("INSERT INTO blobs VALUES (?, ?, 1, 1, 0)", DAMAGED_ROWS["no hex"])
    with pytest.raises(IndexFailedError):
        index.least_used(10)
    with pytest.raises(IndexFailedError):
        index.least_scrubbed(time.time(), 10)


def test_an_index_that_cannot_be_written_gives_what_it_has(index: Index, tmp_path: Path) -> None:
    """What was proven is read; what is denied now is read no more, though it cannot be written."""
    index.prove(KEY, APP, OCI_MANIFEST)
    index.prove(KEY, OTHER, OCI_MANIFEST)
    with unwritable(tmp_path):
        assert index.right(KEY, APP) is not None
        index.prove(ANOTHERS, APP, OCI_MANIFEST)
        assert index.right(ANOTHERS, APP) is None
        index.end(KEY, APP)
        assert index.right(KEY, APP) is None
        assert index.right(KEY, OTHER) is not None
        with pytest.raises(IndexFailedError):
            index.added(Digest.of(b"more"), 4)
    index.write_ends()
    with closing(opened(tmp_path)) as another:
        assert another.right(KEY, APP) is None


def test_an_index_that_cannot_be_read_gives_nobody_a_right(tmp_path: Path) -> None:
    """Upstream is asked, and streams."""
    index = opened(tmp_path)
    index.prove(KEY, APP, OCI_MANIFEST)
    index.close()
    assert index.right(KEY, APP) is None
    assert not index.has_any_right(KEY)
    index.prove(KEY, APP, OCI_MANIFEST)
    with pytest.raises(IndexFailedError):
        index.stored_bytes()


def test_a_lost_file_is_a_new_index(tmp_path: Path) -> None:
    """Somebody emptied the folder."""
    with closing(opened(tmp_path)) as index:
        index.prove(KEY, APP, OCI_MANIFEST)
    for path in tmp_path.glob("index.sqlite3*"):
        path.unlink()
    shutil.rmtree(tmp_path / "aside")
    with closing(opened(tmp_path)) as again:
        assert again.right(KEY, APP) is None
        assert again.least_used(-1) == []


def test_a_connection_has_so_many_rights_and_no_more(index: Index) -> None:
    """A registry that says yes to every repository would fill the disk. The oldest proofs go."""
    others = FlightKey("other", Kind.BLOB, Digest.of(b"content"))
    index.prove(others, APP, OCI_MANIFEST)
    repositories = [RepositoryName.parse(f"team/{number}") for number in range(10)]
    for repository in repositories:
        index.prove(KEY, repository, OCI_MANIFEST)
    index.prove(KEY, repositories[0], OCI_MANIFEST)  # again
    index.forget_surplus(4, proofs=100)
    assert all(index.right(KEY, each) for each in repositories)
    index.forget_surplus(4)
    left = [each for each in repositories if index.right(KEY, each) is not None]
    assert left == [repositories[0], *repositories[-3:]]
    assert index.right(others, APP) is not None


def test_eviction_and_scrub_have_their_orders(index: Index) -> None:
    """On probation before what was used again; the longest unverified first."""
    once, twice, found = (Digest.of(each) for each in (b"once", b"twice", b"found"))
    index.found(found, 5)
    for digest in (twice, once):
        index.added(digest, 4)
    index.used({twice: 1})
    index.used({found: 3})
    assert [each.digest for each in index.least_used(-1)] == [once, twice, found]
    assert [each.digest for each in index.least_scrubbed(time.time() - 60, 9)] == [found]
    index.scrubbed([found])
    assert index.least_scrubbed(time.time() - 60, 9) == []
    assert index.stored_bytes() == 13


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
