"""What the comparison of a store's files with its index holds at once."""

import hashlib
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from facade.metrics.store_metrics import StoreMetrics
from facade.store.catalogue import Catalogue
from facade.store.index import Index
from facade.store.layout import Layout
from facade.store.reconcile import NAMES_AT_ONCE, folders, reconcile
from shared.oci import Digest
from tests.growth.measured import GROWTH, Growth, Sizes

# At full size in 16 of the 256 folders, so as in stores of 640,000 and 1,920,000 blobs. One lot of
# `NAMES_AT_ONCE` names is held: until every folder has so many, at 256,000 blobs, it grows with
# them (0.36 MB as of 64,000 blobs, 0.80 as of 300,000), and then no more. Some 0.4 ms of processor
# each, of which most is tracemalloc's.
SIZES: Final = Sizes(small=(500, 1_000, 2_000), full=(40_000, 120_000))
AT_ONCE: Final = GROWTH.extent(100, NAMES_AT_ONCE)  # fewer than the fewest
MAX_BYTES: Final = 1536 * 1024  # at any size


def digests(count: int) -> Iterator[Digest]:
    """Yield so many in a few folders, or in one, as if the store were that much larger."""
    for number in range(count):
        name = f"{number:064x}"
        if GROWTH.runs_all:
            name = f"0{hashlib.sha256(name.encode()).hexdigest()[1:]}"
        yield Digest("sha256", name)


def fill(layout: Layout, count: int) -> None:
    """Have so many empty blobs with their checksums lie there."""
    for digest in digests(count):
        for path in (layout.blob(digest), layout.checksums(digest)):
            if not path.parent.exists():
                path.parent.mkdir(parents=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def reconcile_all(layout: Layout, catalogue: Catalogue) -> int:
    """Compare everything; return the most bytes that Python held at once for it."""
    tracemalloc.start()
    try:
        for folder in folders():
            reconcile(layout, catalogue, folder, names_at_once=AT_ONCE)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_comparison_holds_as_much_of_any_store(growth: Growth, tmp_path: Path) -> None:
    """Of one that nobody noted, of one that is noted, and of an index whose files are gone."""
    for size in growth.sizes(SIZES):
        layout = Layout(tmp_path / str(size))
        layout.prepare()
        fill(layout, size)
        index = Index.open(layout.index, layout.quarantine, StoreMetrics.of_nobody())
        catalogue = Catalogue(index)
        new = reconcile_all(layout, catalogue)
        assert catalogue.stored_blobs() == size
        same = reconcile_all(layout, catalogue)
        layout.blobs.rename(layout.quarantine / "gone")
        layout.blobs.mkdir()
        gone = reconcile_all(layout, catalogue)
        assert catalogue.stored_blobs() == 0
        index.close()
        for kind, cost in (("unknown", new), ("known", same), ("vanished", gone)):
            growth.point(f"G9 comparison of {kind} blobs", size=size, cost=cost, unit="bytes")
    for kind in ("unknown", "known", "vanished"):
        growth.holds(f"G9 comparison of {kind} blobs", exponent=0.1, at_most=MAX_BYTES)
