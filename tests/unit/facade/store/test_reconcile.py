"""The index knows what lies in the folders, whatever either of them had before."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facade.metrics.store_metrics import StoreMetrics
from facade.store.catalogue import Catalogue, StoredSize
from facade.store.index import Index
from facade.store.layout import Layout
from facade.store.reconcile import ORPHANED_SECONDS, Folder, folders, reconcile
from shared.oci import Digest

# Some share a folder, some have one of their own; both algorithms.
DIGESTS = [
    *(Digest("sha256", f"{number // 5:02x}{number:062x}") for number in range(20)),
    *(Digest("sha512", f"ff{number:0126x}") for number in range(5)),
]
SUBSETS = st.frozensets(st.sampled_from(DIGESTS))


@define
class Store:
    """Folders and an index, which are set each by itself."""

    layout: Layout
    index: Index = field(init=False)
    catalogue: Catalogue = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make both, empty."""
        self.layout.prepare()
        self.index = Index.open(self.layout.index, self.layout.quarantine, StoreMetrics.of_nobody())
        self.catalogue = Catalogue(self.index)

    def write(self, digest: Digest, content: bytes = b"blob") -> None:
        """Have a blob lie there with its checksums."""
        for path in (self.layout.blob(digest), self.layout.checksums(digest)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def reconcile(self, names_at_once: int = 2) -> None:
        """Compare everything."""
        for folder in folders():
            reconcile(self.layout, self.catalogue, folder, names_at_once=names_at_once)

    @property
    def known(self) -> set[StoredSize]:
        """What the index has."""
        return set(self.catalogue.least_used(-1))

    def empty(self) -> None:
        """Have nothing again."""
        for path in self.layout.blobs.glob("*/*/*"):
            path.unlink()
        self.catalogue.removed(*DIGESTS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty one."""
    store = Store(Layout(tmp_path / "store"))
    yield store
    store.index.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(lie=SUBSETS, noted=SUBSETS, names_at_once=st.integers(1, 7))
def test_the_index_has_what_lies_there(
    store: Store, lie: frozenset[Digest], noted: frozenset[Digest], names_at_once: int
) -> None:
    """However many names are held at once; what is noted of a blob stays as it is."""
    store.empty()
    for digest in lie:
        store.write(digest, b"size")
    store.catalogue.found_all([StoredSize(digest, 99) for digest in noted])
    store.reconcile(names_at_once)
    assert store.known == {StoredSize(each, 99 if each in noted else 4) for each in lie}
    assert store.catalogue.stored_blobs() == len(lie)


def test_what_is_noted_of_a_folder_that_is_gone_is_forgotten(store: Store) -> None:
    """An operator has deleted it, or all of them."""
    for digest in DIGESTS:
        store.write(digest)
    store.reconcile()
    store.layout.blobs.rename(store.layout.root / "taken")
    store.layout.blobs.mkdir()
    store.reconcile()
    assert store.known == set()


def test_only_old_checksums_without_a_blob_are_deleted(store: Store) -> None:
    """Young ones are of a blob that is about to come; whoever put other files there knows why."""
    kept, gone, young, noted = DIGESTS[:4]
    old = time.time() - ORPHANED_SECONDS - 60
    for digest in (kept, gone, young, noted):
        store.write(digest)
    folder = store.layout.blob(kept).parent
    half, foreign = folder / f"{kept.hex}.xxh3.new", folder / "README"
    for path in (half, foreign):
        path.touch()
    store.catalogue.found_all([StoredSize(noted, 4)])
    for digest in (gone, young, noted):
        store.layout.blob(digest).unlink()
    for path in (half, foreign, *(store.layout.checksums(each) for each in (kept, gone, noted))):
        os.utime(path, (old, old))
    store.reconcile()
    left = {path.name for path in folder.iterdir()}
    assert left == {
        kept.hex,
        store.layout.checksums(kept).name,
        store.layout.checksums(young).name,
        foreign.name,
    }
    assert store.known == {StoredSize(kept, 4)}


def test_what_lies_in_another_blobs_folder_is_no_blob(store: Store) -> None:
    """Nobody would find it there."""
    digest = DIGESTS[0]
    other = store.layout.blobs / "sha256" / "ab"
    other.mkdir(parents=True)
    (other / digest.hex).write_bytes(b"blob")
    store.reconcile()
    assert store.known == set()


def test_a_file_where_a_folder_should_be_stops_nothing(store: Store) -> None:
    """The others are compared all the same."""
    digest = DIGESTS[0]
    store.write(digest)
    (store.layout.blobs / "sha256" / "ab").write_bytes(b"")
    store.reconcile()
    assert store.known == {StoredSize(digest, 4)}


def test_every_digest_has_its_folder() -> None:
    """And each folder is looked at once."""
    every = list(folders())
    assert len(every) == len(set(every)) == 2 * 256
    for digest in DIGESTS:
        assert Folder(digest.algorithm, digest.hex[:2]) in every
