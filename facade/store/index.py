"""Who may read what, and what was used when: SQLite, shared by the processes of one machine.

A membership is the right to read: this access key brought this digest, for this repository, itself
and verified. Bytes without a membership do not exist for the asker. Reads are some microseconds
and happen on the loop; writes happen in a thread.
"""

import sqlite3
import threading
import time
from pathlib import Path
from typing import Final, Self

from attrs import define, field, frozen

from facade.store.layout import FILE_MODE, FlightKey
from shared.oci import Digest, RepositoryName

BUSY_SECONDS: Final = 10.0  # another process of this machine is writing; its writes are short

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS memberships (
    access_key TEXT NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL, repository TEXT NOT NULL,
    media_type TEXT NOT NULL, proven_at REAL NOT NULL,
    PRIMARY KEY (access_key, kind, digest, repository)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blobs (
    digest TEXT PRIMARY KEY, size INTEGER NOT NULL, used_at REAL NOT NULL, uses INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blobs_by_use ON blobs (used_at);
"""


@frozen
class Membership:
    """The right to read a digest through a repository of a connection."""

    media_type: str
    proven_at: float  # Unix seconds


@frozen
class StoredSize:
    """A blob in the order of eviction."""

    digest: Digest
    size: int


@define(eq=False)
class Index:
    """An open index. Writing methods block and may be called from any thread."""

    _database: sqlite3.Connection
    _writing: threading.Lock = field(factory=threading.Lock, init=False)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or make the index; raise `sqlite3.Error` or `OSError`."""
        path.touch(mode=FILE_MODE)
        database = sqlite3.connect(
            path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
        )
        database.execute("PRAGMA journal_mode = WAL")
        # A crash of the machine may lose the newest memberships: they are proven again.
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_SCHEMA)
        return cls(database)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def membership(self, key: FlightKey, repository: RepositoryName) -> Membership | None:
        """Return the right to read, if it was proven."""
        row = self._database.execute(
            "SELECT media_type, proven_at FROM memberships"
            " WHERE access_key = ? AND kind = ? AND digest = ? AND repository = ?",
            (key.access_key, key.kind.value, str(key.digest), str(repository)),
        ).fetchone()
        return Membership(*row) if row else None

    def is_member(self, key: FlightKey) -> bool:
        """Tell whether this connection brought a digest, in any repository."""
        row = self._database.execute(
            "SELECT 1 FROM memberships WHERE access_key = ? AND kind = ? AND digest = ? LIMIT 1",
            (key.access_key, key.kind.value, str(key.digest)),
        ).fetchone()
        return row is not None

    def prove(self, key: FlightKey, repository: RepositoryName, media_type: str) -> None:
        """Write a membership, or the time of its newest proof."""
        with self._writing:
            self._database.execute(
                "INSERT OR REPLACE INTO memberships VALUES (?, ?, ?, ?, ?, ?)",
                (
                    key.access_key,
                    key.kind.value,
                    str(key.digest),
                    str(repository),
                    media_type,
                    time.time(),
                ),
            )

    def end(self, key: FlightKey, repository: RepositoryName) -> None:
        """End a membership: upstream denied it."""
        with self._writing:
            self._database.execute(
                "DELETE FROM memberships"
                " WHERE access_key = ? AND kind = ? AND digest = ? AND repository = ?",
                (key.access_key, key.kind.value, str(key.digest), str(repository)),
            )

    def end_all_of(self, access_key: str) -> None:
        """End the memberships of an access key that serves no more."""
        with self._writing:
            self._database.execute("DELETE FROM memberships WHERE access_key = ?", (access_key,))

    def added(self, digest: Digest, size: int) -> None:
        """Note a new blob, on probation: used once."""
        with self._writing:
            self._database.execute(
                "INSERT INTO blobs VALUES (?, ?, ?, 1)"
                " ON CONFLICT (digest) DO UPDATE SET used_at = excluded.used_at, uses = uses + 1",
                (str(digest), size, time.time()),
            )

    def used(self, uses: dict[Digest, int]) -> None:
        """Note uses of blobs since the last time."""
        now = time.time()
        with self._writing, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "UPDATE blobs SET used_at = ?, uses = uses + ? WHERE digest = ?",
                [(now, count, str(digest)) for digest, count in uses.items()],
            )

    def removed(self, digest: Digest) -> None:
        """Note that a blob is gone."""
        with self._writing:
            self._database.execute("DELETE FROM blobs WHERE digest = ?", (str(digest),))

    def stored_bytes(self) -> int:
        """Return the bytes of all complete blobs."""
        row = self._database.execute("SELECT total(size) FROM blobs").fetchone()
        return int(row[0])

    def least_used(self, limit: int) -> list[StoredSize]:
        """Return what to evict first: what is on probation, then the rest, least recent first."""
        rows = self._database.execute(
            "SELECT digest, size FROM blobs ORDER BY uses > 1, used_at LIMIT ?", (limit,)
        ).fetchall()
        return [StoredSize(Digest.parse(digest), size) for digest, size in rows]
