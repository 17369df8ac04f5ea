"""The open index: one writer, one reader, and what happens if it fails.

The file has two stores, each of which keeps its own tables: what is stored and when it was used
(`catalogue`), and who may read it (`facade/rights`). Every process of the machine has it open.
Everything blocks.

A failing index breaks no pull. Only what the quota depends on raises `IndexFailedError`.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from attrs import define, field

from facade.errors import StoreFailedError
from facade.metrics.store_metrics import StoreMetrics
from facade.store.index_file import IndexFile
from shared.structured_log import get_logger

# Pages of 4 KiB that the file gives back in one transaction, some 5 ms; others write in between.
PAGES_AT_ONCE: Final = 256
SPARE_PAGES: Final = 1024  # that are kept for what is written next

_log = get_logger("facade.store")


class IndexFailedError(StoreFailedError, OSError):
    """The index cannot be read or written now."""


@define(eq=False)
class Index:
    """An open index. `noted` and `raised` say what becomes of a failure."""

    _file: IndexFile
    _metrics: StoreMetrics
    _writing: threading.Lock = field(factory=threading.Lock, init=False)
    _reading: threading.Lock = field(factory=threading.Lock, init=False)
    _has_failed: bool = field(default=False, init=False)  # so that a failure is told once

    @classmethod
    def open(cls, path: Path, aside: Path, metrics: StoreMetrics) -> Self:
        """Open or make the index. Raises as `IndexFile.open` does."""
        return cls(IndexFile.open(path, aside), metrics)

    def close(self) -> None:
        """Close the file, once nobody is in the middle of a query (`own_database`)."""
        with self._reading, self._writing:
            self._file.close()
            self._has_failed = True  # whoever comes later is not told of

    @property
    def changes_query(self) -> str:
        """Asks the reader for a number that changes with a right."""
        return self._file.changes_query

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection that waits for no writer. Raises `sqlite3.Error`."""
        with self._reading:
            yield self._file.reader

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write all of the block's changes, or none. Raises `sqlite3.Error`."""
        with self._writing, self._file.writer:
            self._file.writer.execute("BEGIN IMMEDIATE")
            yield self._file.writer
        self._has_failed = False

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query, behind what is being written. Raises `sqlite3.Error`."""
        with self._writing:
            return self._file.writer.execute(query, values).fetchall()

    def write(self, statement: str, values: tuple[object, ...]) -> int:
        """Return how many rows were changed. Raises `sqlite3.Error`."""
        with self._writing:
            changed = self._file.writer.execute(statement, values).rowcount
        self._has_failed = False
        return changed

    def write_many(self, statement: str, values: Sequence[tuple[object, ...]]) -> None:
        """Change rows in one transaction. Raises `sqlite3.Error`."""
        with self.transaction() as writer:
            writer.executemany(statement, values)

    def shrink(self, spare_pages: int = SPARE_PAGES) -> bool:
        """Give some empty pages back to the disk; tell whether there are more of them.

        False also if the file cannot give any back.
        """
        with self.noted(), self._writing:
            writer = self._file.writer
            [(free,)] = writer.execute("PRAGMA freelist_count").fetchall()
            count = min(free - spare_pages, PAGES_AT_ONCE)
            if count > 0:
                # Each step gives back one page, so all rows have to be fetched.
                writer.execute(f"PRAGMA incremental_vacuum({count})").fetchall()
                [(left,)] = writer.execute("PRAGMA freelist_count").fetchall()
                if left > spare_pages:
                    return int(left) < int(free)
                writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # or the file stays
        return False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """End the block at a failure, which is counted and logged."""
        try:
            yield
        except sqlite3.Error as error:
            self._note_failure(error)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise `IndexFailedError` at a failure, which is counted and logged."""
        try:
            yield
        except sqlite3.Error as error:
            self._note_failure(error)
            raise IndexFailedError(f"the index failed: {_name(error)}") from error

    def _note_failure(self, error: sqlite3.Error) -> None:
        self._metrics.index_failures.inc()
        if not self._has_failed:
            self._has_failed = True
            _log.error("index failed, going on without it", reason=_name(error))


def _name(error: sqlite3.Error) -> str:
    """Return SQLite's name of an error, because its text may quote the query."""
    return getattr(error, "sqlite_errorname", type(error).__name__)
