"""An open index with both of its stores, as a facade has it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from attrs import frozen

from facade.metrics.store_metrics import StoreMetrics
from facade.rights.rights import Rights
from facade.store.catalogue import Catalogue
from facade.store.index import Index
from facade.store.index_file import IndexFile


@frozen
class OpenedIndex:
    """An index, what is stored, and who may read it."""

    index: Index
    catalogue: Catalogue
    rights: Rights

    @classmethod
    def open(cls, folder: Path, clock: Callable[[], float] = time.monotonic) -> Self:
        """Open or make the index of a folder; a damaged one goes into `aside` there."""
        aside = folder / "aside"
        aside.mkdir(exist_ok=True)
        return cls.of(IndexFile.open(folder / "index.sqlite3", aside), clock)

    @classmethod
    def of(cls, file: IndexFile, clock: Callable[[], float] = time.monotonic) -> Self:
        """Return both stores of an open file."""
        index = Index(file, StoreMetrics.of_nobody())
        return cls(index, Catalogue(index), Rights(index, clock))

    def close(self) -> None:
        """Close the file."""
        self.index.close()
