"""A store with as many blobs or rights as one likes, and what SQLite does for each act on it.

Blobs are rows of the index, and empty files where those are touched; rights are rows. Nothing of
it can be read; all of it counts, and goes as what a registry brought.
"""

import itertools
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Self

from attrs import define, field, frozen

from facade.metrics.store_metrics import StoreMetrics
from facade.rights.rights import Rights
from facade.store.catalogue import Catalogue
from facade.store.evictor import Evictor
from facade.store.index import Index
from facade.store.index_file import IndexFile
from facade.store.layout import Layout
from facade.store.partials import Partials
from facade.store.quarantine import Quarantine
from facade.store.room_queue import RoomQueue
from facade.store.uses import Uses
from shared.oci import Digest
from tests.support.opened_index import OpenedIndex

BLOB_BYTES: Final = 4096  # of each, as the index says
CONNECTIONS: Final = 10
STEPS_AT_ONCE: Final = 10  # steps of SQLite's machine for each call of the counter
_WRITES: Final = ("INSERT", "UPDATE", "DELETE")


@define
class SqliteWork:
    """What SQLite did."""

    steps: int = 0  # of its virtual machine: some for each row that is read
    transactions: int = 0  # that wrote
    _is_open: bool = False

    def note_steps(self) -> int:
        """Count some; 0 lets SQLite go on."""
        self.steps += STEPS_AT_ONCE
        return 0

    def note_statement(self, statement: str) -> None:
        """Count transactions, also those of one statement."""
        if statement.startswith("BEGIN"):
            self._is_open = True
            self.transactions += 1
        elif statement.startswith(("COMMIT", "ROLLBACK")):
            self._is_open = False
        elif statement.startswith(_WRITES) and not self._is_open:
            self.transactions += 1


@define(eq=False)
class FilledStore:
    """The parts of an open store that make room, of a quota that is as large as what is stored."""

    layout: Layout
    index: Index
    catalogue: Catalogue
    rights: Rights
    file: IndexFile
    partials: Partials
    quarantine: Quarantine
    uses: Uses = field(init=False)

    @uses.default
    def _uses_of_catalogue(self) -> Uses:
        return Uses(self.catalogue)

    @classmethod
    @contextmanager
    def of(
        cls, folder: Path, blobs: int, rights: int = 0, *, has_files: bool = False
    ) -> Iterator[Self]:
        """Give a store with so many of both; delete it afterwards.

        `has_files`: blobs are not only noted.
        """
        layout = noted_store(folder, blobs, rights, has_files=has_files)
        file = IndexFile.open(layout.index, layout.quarantine)
        opened = OpenedIndex.of(file, lambda: 0.0)
        partials, quarantine = Partials(layout.ingest), Quarantine(layout.quarantine, 1)
        try:
            with closing(opened):
                yield cls(
                    layout,
                    opened.index,
                    opened.catalogue,
                    opened.rights,
                    file,
                    partials,
                    quarantine,
                )
        finally:
            shutil.rmtree(folder)

    def queue(self, quota: int) -> RoomQueue:
        """Return the queue of a process that may keep so many bytes."""
        evictor = Evictor(
            self.layout, self.catalogue, self.partials, self.quarantine, self.uses, quota
        )
        return RoomQueue(self.layout.evictor_lock, evictor, self.index)

    @contextmanager
    def counted(self) -> Iterator[SqliteWork]:
        """Count what SQLite does for the block."""
        work, writer = SqliteWork(), self.file.writer
        writer.set_progress_handler(work.note_steps, STEPS_AT_ONCE)
        writer.set_trace_callback(work.note_statement)
        try:
            yield work
        finally:
            writer.set_progress_handler(None, 0)
            writer.set_trace_callback(None)


@frozen
class _Row:
    number: int
    count: int

    @property
    def digest(self) -> Digest:
        """Evenly over the folders, and in order: so a million rows take some seconds."""
        return Digest("sha256", f"{self.number * 256 // self.count:02x}{self.number:062x}")


def access_key_of(number: int) -> str:
    """Return the access key of one of the connections."""
    return f"{number:064x}"


def _link_files(layout: Layout, digests: list[Digest]) -> None:
    """Make an empty file for each: in each folder links to one, a tenth of the time of files."""
    for _, (one, *others) in itertools.groupby(digests, lambda digest: digest.hex[:2]):
        first = layout.blob(one)
        first.parent.mkdir(parents=True)
        os.mknod(first, 0o600)
        folder = os.open(first.parent, os.O_RDONLY | os.O_DIRECTORY)
        for digest in others:
            os.link(first.name, digest.hex, src_dir_fd=folder, dst_dir_fd=folder)
        os.close(folder)


def noted_store(
    folder: Path, blobs: int, rights: int = 0, *, has_files: bool = False, scrubbed_at: float = 0
) -> Layout:
    """Make a store with so many of both, and open nothing.

    `has_files`: blobs are not only noted. `scrubbed_at`: Unix time; a scrubber forgets what is due
    and has no file.
    """
    layout = Layout(folder)
    layout.prepare()
    with closing(Index.open(layout.index, layout.quarantine, StoreMetrics.of_nobody())):
        pass
    blob_rows = [_Row(number, blobs) for number in range(blobs)]
    if has_files:
        _link_files(layout, [row.digest for row in blob_rows])
    with closing(sqlite3.connect(layout.index)) as database, database:
        database.executemany(
            "INSERT INTO blobs VALUES (?, ?, ?, 1, ?)",
            ((str(row.digest), BLOB_BYTES, row.number, scrubbed_at) for row in blob_rows),
        )
        share = max(1, rights // CONNECTIONS)
        database.executemany(
            "INSERT INTO memberships VALUES (?, 'blobs', ?, 'team/app', 'text/plain', 1)",
            (
                (access_key_of(number // share), str(_Row(number, rights).digest))
                for number in range(share * CONNECTIONS if rights else 0)
            ),
        )
    return layout
