"""Who may read what is known in every process, also what another one wrote."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve

from facade.rights.right import FlightKey, Right
from facade.rights.rights import NOTICED_WITHIN_SECONDS
from facade.store.index_file import IndexFile
from shared.oci import OCI_MANIFEST, Digest, Kind, RepositoryName
from tests.support.clock import Clock
from tests.support.opened_index import OpenedIndex

APP, OTHER = RepositoryName.parse("team/app"), RepositoryName.parse("team/other")
KEY = FlightKey("a" * 64, Kind.MANIFEST, Digest.of(b"content"))
ANOTHERS = FlightKey("b" * 64, Kind.MANIFEST, Digest.of(b"content"))
AS_BLOB = FlightKey("a" * 64, Kind.BLOB, Digest.of(b"content"))


@pytest.fixture
def other(tmp_path: Path) -> Iterator[OpenedIndex]:
    """The same index, as another process has it open."""
    with closing(OpenedIndex.open(tmp_path)) as other:
        yield other


def test_a_right_is_of_one_access_key_kind_digest_and_repository(index: OpenedIndex) -> None:
    """Each of the four is a boundary."""
    index.rights.prove(Right(KEY, APP), OCI_MANIFEST)
    right = index.rights.proven(Right(KEY, APP))
    assert right is not None
    assert right.media_type == OCI_MANIFEST
    assert right.proven_at == pytest.approx(time.time(), abs=60)
    for key, repository in ((KEY, OTHER), (ANOTHERS, APP), (AS_BLOB, APP)):
        assert index.rights.proven(Right(key, repository)) is None
    assert index.rights.has_any(KEY)
    assert not index.rights.has_any(ANOTHERS)
    assert not index.rights.has_any(AS_BLOB)


def test_what_this_process_writes_holds_at_once(index: OpenedIndex) -> None:
    """Whatever was remembered of it."""
    for _ in range(3):
        index.rights.prove(Right(KEY, APP), OCI_MANIFEST)
        assert index.rights.proven(Right(KEY, APP)) is not None
        index.rights.end(Right(KEY, APP))
        assert index.rights.proven(Right(KEY, APP)) is None


def test_what_another_process_proves_holds_at_once(index: OpenedIndex, other: OpenedIndex) -> None:
    """A right that is missing is not remembered: it would be downloaded a second time."""
    assert index.rights.proven(Right(KEY, APP)) is None
    other.rights.prove(Right(KEY, APP), OCI_MANIFEST)
    assert index.rights.proven(Right(KEY, APP)) is not None


def test_what_another_process_ends_is_noticed_within_the_bound(
    other: OpenedIndex, tmp_path: Path
) -> None:
    """A right that is known is read from memory, and the file is asked every so often."""
    clock = Clock()
    with closing(OpenedIndex.open(tmp_path, clock)) as index:
        other.rights.prove(Right(KEY, APP), OCI_MANIFEST)
        assert index.rights.proven(Right(KEY, APP)) is not None
        other.rights.end(Right(KEY, APP))
        assert index.rights.proven(Right(KEY, APP)) is not None
        clock.advance(NOTICED_WITHIN_SECONDS)
        assert index.rights.proven(Right(KEY, APP)) is None


def test_a_right_in_memory_outlives_what_else_is_written(
    other: OpenedIndex, tmp_path: Path
) -> None:
    """Each cold pull writes, in this process and in others: warm ones need not read for that."""
    clock = Clock()
    with closing(OpenedIndex.open(tmp_path, clock)) as index:
        index.rights.prove(Right(KEY, APP), OCI_MANIFEST)
        assert index.rights.proven_nowait(Right(KEY, APP)) is None  # it was not read yet
        assert index.rights.proven(Right(KEY, APP)) is not None
        for writer, repository in ((index, APP), (other, OTHER)):
            writer.catalogue.added(Digest.of(b"blob"), 4)
            writer.catalogue.used({Digest.of(b"blob"): 1})
            writer.rights.prove(Right(ANOTHERS, repository), OCI_MANIFEST)
            index.rights.look()
            assert index.rights.proven_nowait(Right(KEY, APP)) is not None
        clock.advance(NOTICED_WITHIN_SECONDS)
        assert index.rights.proven_nowait(Right(KEY, APP)) is None  # nobody has looked
        index.rights.look()
        assert index.rights.proven_nowait(Right(KEY, APP)) is not None
        other.rights.prove_again(Right(KEY, APP))
        index.rights.look()
        assert index.rights.proven_nowait(Right(KEY, APP)) is None  # its time is another


def test_an_index_without_the_count_of_changes_forgets_more_often(tmp_path: Path) -> None:
    """A disk without room for it is as good otherwise."""
    with closing(OpenedIndex.open(tmp_path)):
        pass
    file = IndexFile.open(tmp_path / "index.sqlite3", tmp_path / "aside")
    file = evolve(file, changes_query="PRAGMA data_version")
    with closing(OpenedIndex.of(file)) as index:
        index.rights.prove(Right(KEY, APP), OCI_MANIFEST)
        assert index.rights.proven(Right(KEY, APP)) is not None
        index.catalogue.added(Digest.of(b"blob"), 4)
        index.rights.look()
        assert index.rights.proven_nowait(Right(KEY, APP)) is None
        assert index.rights.proven(Right(KEY, APP)) is not None


def test_a_proof_is_renewed_only_where_the_right_still_is(index: OpenedIndex) -> None:
    """A proof under way while the connection ended gives nothing back."""
    index.rights.prove(Right(KEY, APP), OCI_MANIFEST)
    before = index.rights.proven(Right(KEY, APP))
    index.rights.prove_again(Right(KEY, APP))
    after = index.rights.proven(Right(KEY, APP))
    assert before is not None
    assert after is not None
    assert (after.media_type, after.proven_at >= before.proven_at) == (OCI_MANIFEST, True)
    index.rights.end(Right(KEY, APP))
    index.rights.prove_again(Right(KEY, APP))
    assert index.rights.proven(Right(KEY, APP)) is None


def test_access_keys_that_serve_no_more_lose_every_right(index: OpenedIndex) -> None:
    """And the others none."""
    for repository in (APP, OTHER):
        index.rights.prove(Right(KEY, repository), OCI_MANIFEST)
        index.rights.prove(Right(ANOTHERS, repository), OCI_MANIFEST)
    assert index.rights.end_all_but({ANOTHERS.access_key, "c" * 64}) == 1
    assert not index.rights.has_any(KEY)
    assert index.rights.proven(Right(ANOTHERS, OTHER)) is not None
    assert index.rights.end_all_but({ANOTHERS.access_key}) == 0


def test_old_rights_to_what_is_gone_are_forgotten(index: OpenedIndex) -> None:
    """The index does not grow for ever; a right to what is stored stays, however old."""
    stored = FlightKey("a" * 64, Kind.BLOB, Digest.of(b"stored"))
    index.catalogue.added(stored.digest, 6)
    for key in (KEY, stored):
        index.rights.prove(Right(key, APP), OCI_MANIFEST)
    index.rights.forget_useless(time.time() - 60)
    assert index.rights.has_any(KEY)
    index.rights.forget_useless(time.time() + 60)
    assert not index.rights.has_any(KEY)
    assert index.rights.has_any(stored)


def test_a_writer_that_waits_keeps_no_reader(index: OpenedIndex, tmp_path: Path) -> None:
    """Reads are on the loop; another process's long write blocks the thread that writes alone."""
    index.rights.prove(Right(KEY, APP), OCI_MANIFEST)
    blocker = sqlite3.connect(tmp_path / "index.sqlite3", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    waiting = threading.Thread(target=index.rights.prove, args=(Right(KEY, OTHER), OCI_MANIFEST))
    waiting.start()
    assert index.rights.proven(Right(KEY, APP)) is not None
    assert index.rights.proven(Right(KEY, OTHER)) is None
    assert waiting.is_alive()
    blocker.execute("COMMIT")
    blocker.close()
    waiting.join()
    assert index.rights.proven(Right(KEY, OTHER)) is not None


def test_a_connection_has_so_many_rights_and_no_more(index: OpenedIndex) -> None:
    """A registry that says yes to every repository would fill the disk. The oldest proofs go."""
    others = FlightKey("other", Kind.BLOB, Digest.of(b"content"))
    index.rights.prove(Right(others, APP), OCI_MANIFEST)
    repositories = [RepositoryName.parse(f"team/{number}") for number in range(10)]
    for repository in repositories:
        index.rights.prove(Right(KEY, repository), OCI_MANIFEST)
    index.rights.prove(Right(KEY, repositories[0]), OCI_MANIFEST)  # again
    index.rights.forget_surplus(4, proofs=100)
    assert all(index.rights.proven(Right(KEY, each)) for each in repositories)
    index.rights.forget_surplus(4)
    left = [each for each in repositories if index.rights.proven(Right(KEY, each)) is not None]
    assert left == [repositories[0], *repositories[-3:]]
    assert index.rights.proven(Right(others, APP)) is not None
