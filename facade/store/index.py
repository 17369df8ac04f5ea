"""Who may read what, and what was used when: SQLite, shared by the processes of one machine.

A right to read says: this access key itself brought this digest for this repository,
and it was verified. For an asker without a right, the bytes do not exist. On the loop,
rights are read only from memory (`right_nowait`). Everything else blocks, and happens in
a thread. So if a disk does not answer, only those wait whose right is not in memory.

What is in memory holds until a right ends or is renewed. `look` finds out whether that happened in
any process of the machine. Whoever serves from memory calls it all the time.

A failing index breaks no pull. A right that cannot be read counts as none, and one that cannot be
written is proven again. Only what the quota depends on raises `IndexFailedError`.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import nan
from pathlib import Path
from typing import Any, Final, Self

from attrs import define, field, frozen

from facade.errors import StoreFailedError
from facade.metrics.store_metrics import StoreMetrics
from facade.store.index_file import IndexFile
from facade.store.layout import FlightKey
from shared.oci import Digest, InvalidDigestError, RepositoryName
from shared.structured_log import get_logger

LOOKED_EVERY_SECONDS: Final = 0.1  # for what another process ended
# For so long it may still be read: a look may be late if the machine or the disk is busy.
NOTICED_WITHIN_SECONDS: Final = 1.0
MAX_KNOWN: Final = 4096  # rights held in memory, some 500 bytes each
# Of one connection, some 500 bytes each on the disk. Beyond 64 MiB in all, they count for the
# quota.
MAX_RIGHTS: Final = 100_000
# A blob and its checksums take at least a block of the disk each. The quota is rounded to the
# blocks of so many blobs; those of more blobs count.
FREE_FILES: Final = 10_000
FILE_BYTES: Final = 8 * 1024
PROOFS_BETWEEN_LOOKS: Final = 1000  # until rights are counted again, for connections with too many
# Rights that are ended in one transaction, some 10 ms; others write in between.
RIGHTS_AT_ONCE: Final = 1000
# Pages of 4 KiB that the file gives back in one transaction, some 5 ms; others write in between.
PAGES_AT_ONCE: Final = 256
SPARE_PAGES: Final = 1024  # that are kept for what is written next
MAX_UNWRITTEN_ENDS: Final = 4096  # rights that ended while the index could not be written

_log = get_logger("facade.store")
_Right = tuple[FlightKey, RepositoryName]
_IN_USE_BY_OTHERS: Final = (
    "uses > 1 AND used_at > ? AND digest IN (SELECT digest FROM memberships WHERE access_key != ?)"
)
_RIGHTS_OF: Final = """
DELETE FROM memberships WHERE (access_key, kind, digest, repository) IN (
    SELECT access_key, kind, digest, repository FROM memberships WHERE access_key = ? LIMIT ?)
"""
_BEHIND_HEX: Final = "g"
_OF_RIGHT: Final = "access_key = ? AND kind = ? AND digest = ? AND repository = ?"


class IndexFailedError(StoreFailedError, OSError):
    """The index cannot be read or written now."""


@frozen
class ProvenRight:
    """The right to read a digest through a repository of a connection."""

    media_type: str
    proven_at: float  # Unix seconds


@frozen
class StoredSize:
    """A blob in the order of eviction."""

    digest: Digest
    size: int


@frozen
class InUseByOthers:
    """Blobs that another connection may read, and that were lately used more than once."""

    access_key: str  # of the connection that does not count as another
    since: float  # Unix seconds: used then or later


@define(eq=False)
class Index:
    """An open index."""

    _file: IndexFile
    _metrics: StoreMetrics
    _clock: Callable[[], float]
    _writing: threading.Lock = field(factory=threading.Lock, init=False)
    _reading: threading.Lock = field(factory=threading.Lock, init=False)
    _known: dict[_Right, ProvenRight] = field(factory=dict, init=False)
    _version: int = field(default=-1, init=False)  # of the file, when it was looked at
    _changes: int = field(default=-1, init=False)  # of rights, as `_known` was read
    _looked_at: float = field(default=float("-inf"), init=False)
    _forgotten: int = field(default=0, init=False)  # how often this process forgot some of them
    _unwritten_ends: dict[_Right, None] = field(factory=dict, init=False)
    _has_failed: bool = field(default=False, init=False)  # so that a failure is told once
    _proofs: int = field(default=0, init=False)  # since rights were last counted

    @classmethod
    def open(
        cls,
        path: Path,
        aside: Path,
        metrics: StoreMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Open or make the index. Blocks; raises as `IndexFile.open` does."""
        return cls(IndexFile.open(path, aside), metrics, clock)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def right_nowait(self, key: FlightKey, repository: RepositoryName) -> ProvenRight | None:
        """Return a right that is in memory. If it is not, it may still be in the file."""
        known = self._known.get((key, repository))
        if known is None or self._clock() - self._looked_at >= NOTICED_WITHIN_SECONDS:
            return None
        return known

    def right(self, key: FlightKey, repository: RepositoryName) -> ProvenRight | None:
        """Return the right to read, if it was proven. Blocks."""
        right = (key, repository)
        if self._clock() - self._looked_at >= LOOKED_EVERY_SECONDS:
            self.look()
        if (known := self.right_nowait(key, repository)) is not None:
            return known
        try:
            read = self._read_right(right)
        except sqlite3.Error as error:
            self._note_failure(error)
            return None
        return None if right in self._unwritten_ends else read

    def has_any_right(self, key: FlightKey) -> bool:
        """Tell whether this connection brought a digest, in any repository. Blocks."""
        return self._has_row(
            "SELECT 1 FROM memberships WHERE access_key = ? AND kind = ? AND digest = ? LIMIT 1",
            (key.access_key, key.kind.value, str(key.digest)),
        )

    def gives_some(self) -> bool:
        """Tell whether anything is stored that somebody may read. Blocks."""
        return self._has_row("SELECT 1 FROM memberships JOIN blobs USING (digest) LIMIT 1")

    def look(self) -> None:
        """Forget what is in memory if anybody ended or renewed a right since. Blocks."""
        now = self._clock()
        try:
            with self._reading:
                version = self._number("PRAGMA data_version")
                changes = self._changes
                if version != self._version:  # whatever was written
                    changes = self._number(self._file.changes_query)
        except sqlite3.Error as error:
            self._note_failure(error)
            return
        if changes != self._changes or len(self._known) >= MAX_KNOWN:
            self._forget_known()
        self._version, self._changes, self._looked_at = version, changes, now

    def prove(self, key: FlightKey, repository: RepositoryName, media_type: str) -> None:
        """Write a right, or the time of its newest proof."""
        with self._noted():
            self._write(
                "INSERT INTO memberships VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET media_type = excluded.media_type,"
                " proven_at = excluded.proven_at",
                (*_of_right(key, repository), media_type, time.time()),
            )
            self._forget_known((key, repository))
            self._unwritten_ends.pop((key, repository), None)
            self._proofs += 1

    def forget_surplus(self, max_rights: int = MAX_RIGHTS, proofs: int = 0) -> None:
        """Forget the rights of a connection beyond so many: those that were proven longest ago.

        They are proven again when they are used. `proofs`: nothing is done until there were so many
        proofs since the last time.
        """
        if self._proofs < proofs:
            return
        self._proofs = 0
        with self._noted():
            for (access_key,) in self._rows(
                "SELECT access_key FROM holders WHERE rights > ?", max_rights
            ):
                self._write(
                    "DELETE FROM memberships WHERE access_key = ? AND proven_at <="
                    " (SELECT proven_at FROM memberships WHERE access_key = ?"
                    " ORDER BY proven_at DESC LIMIT 1 OFFSET ?)",
                    (access_key, access_key, max_rights),
                )
                self._forget_known()

    def prove_again(self, key: FlightKey, repository: RepositoryName) -> None:
        """Write the time of a right's newest proof, unless it was ended meanwhile."""
        with self._noted():
            self._write(
                f"UPDATE memberships SET proven_at = ? WHERE {_OF_RIGHT}",  # noqa: S608 - a constant
                (time.time(), *_of_right(key, repository)),
            )
            self._forget_known((key, repository))

    def end(self, key: FlightKey, repository: RepositoryName) -> None:
        """End a right that upstream denied. It ends even if that cannot be written."""
        self._unwritten_ends[key, repository] = None
        self._forget_known((key, repository))
        self.write_ends()
        while len(self._unwritten_ends) > MAX_UNWRITTEN_ENDS:
            # Its last proof stays old, so upstream is asked again at its next use.
            self._unwritten_ends.pop(next(iter(self._unwritten_ends)), None)

    def write_ends(self) -> None:
        """Write what ended and is not written yet."""
        with self._noted():
            for right in list(self._unwritten_ends):
                self._write(f"DELETE FROM memberships WHERE {_OF_RIGHT}", _of_right(*right))  # noqa: S608 - a constant
                self._unwritten_ends.pop(right, None)

    def end_all_but(self, serving: Collection[str]) -> int:
        """End the rights of access keys that serve no more; return the number of keys."""
        ended = 0
        with self._noted():
            for access_key in self._access_keys() - set(serving):
                while self._write(_RIGHTS_OF, (access_key, RIGHTS_AT_ONCE)) == RIGHTS_AT_ONCE:
                    pass
                self._forget_known()
                self._write("DELETE FROM holders WHERE access_key = ?", (access_key,))
                ended += 1
        return ended

    def forget_useless(self, proven_before: float) -> None:
        """Forget rights to what is not stored, proven before then (Unix seconds)."""
        with self._noted():
            for access_key in self._access_keys():  # others write in between
                self._write(
                    "DELETE FROM memberships WHERE access_key = ? AND proven_at < ?"
                    " AND digest NOT IN (SELECT digest FROM blobs)",
                    (access_key, proven_before),
                )
                self._forget_known()

    def added(self, digest: Digest, size: int) -> None:
        """Note a new, verified blob, on probation: used once. Raises `IndexFailedError`."""
        now = time.time()
        with self._raised():
            self._write(
                "INSERT INTO blobs VALUES (?, ?, ?, 1, ?)"
                " ON CONFLICT (digest) DO UPDATE SET used_at = excluded.used_at, uses = uses + 1,"
                " size = excluded.size, scrubbed_at = excluded.scrubbed_at",
                (str(digest), size, now, now),
            )

    def found(self, digest: Digest, size: int) -> None:
        """Note a stored blob, unless it is noted already."""
        with self._noted():
            self._write(
                "INSERT OR IGNORE INTO blobs VALUES (?, ?, ?, 1, 0)",
                (str(digest), size, time.time()),
            )

    def found_all(self, blobs: Iterable[StoredSize]) -> None:
        """Note stored blobs, unless they are noted already, all at once."""
        now = time.time()
        rows = [(str(each.digest), each.size, now) for each in blobs]
        if rows:
            with self._noted():
                self._write_many("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?, 1, 0)", rows)

    def used(self, uses: dict[Digest, int]) -> None:
        """Note uses of blobs since the last time."""
        now = time.time()
        with self._noted():
            self._write_many(
                "UPDATE blobs SET used_at = ?, uses = uses + ? WHERE digest = ?",
                [(now, count, str(digest)) for digest, count in uses.items()],
            )

    def scrubbed(self, digests: Iterable[Digest]) -> None:
        """Note that the whole of these blobs was verified now."""
        now = time.time()
        with self._noted():
            self._write_many(
                "UPDATE blobs SET scrubbed_at = ? WHERE digest = ?",
                [(now, str(digest)) for digest in digests],
            )

    def removed(self, *digests: Digest) -> None:
        """Note that blobs are gone, all at once."""
        if digests:
            with self._noted():
                self._remove(digests)

    def noted(self, digests: Collection[Digest]) -> set[Digest]:
        """Return those of these blobs that are noted. Raises `IndexFailedError`."""
        with self._raised():
            marks = ", ".join("?" * len(digests))
            query = f"SELECT digest FROM blobs WHERE digest IN ({marks})"  # noqa: S608 - question marks
            found = {row[0] for row in self._rows(query, *map(str, digests))}
        return {digest for digest in digests if str(digest) in found}

    def noted_behind(self, after: str, beginning: str, limit: int) -> list[Digest]:
        """Return noted blobs whose digests have this beginning and come after another, in order.

        Raises `IndexFailedError`.
        """
        with self._raised():
            return [
                each.digest
                for each in _sizes(
                    self._rows(
                        "SELECT digest, size FROM blobs WHERE digest > ? AND digest < ?"
                        " ORDER BY digest LIMIT ?",
                        after,
                        beginning + _BEHIND_HEX,
                        limit,
                    )
                )
            ]

    def count_of(self, beginning: str) -> int:
        """Return how many noted blobs' digests have this beginning. Raises `IndexFailedError`."""
        with self._raised():
            [(count,)] = self._rows(
                "SELECT count(*) FROM blobs WHERE digest > ? AND digest < ?",
                beginning,
                beginning + _BEHIND_HEX,
            )
        return int(count)

    def evicted(self, digests: Iterable[Digest]) -> int:
        """Note that blobs are gone as `removed` does; return the bytes of the quota that frees.

        Raises `IndexFailedError`.
        """
        with self._raised():
            return self._remove(digests)

    def stored_bytes(self) -> int:
        """Return what all complete blobs take of the quota. Raises `IndexFailedError`."""
        with self._raised(), self._writing:
            return _taken(self._file.writer)

    def stored_blobs(self) -> int:
        """Return how many complete blobs there are. Raises `IndexFailedError`."""
        with self._raised():
            return int(self._rows("SELECT blobs FROM totals")[0][0])

    def oldest_use(self) -> float:
        """Return when the blob was used that was used the longest ago (Unix seconds).

        NaN if there is none. Raises `IndexFailedError`.
        """
        with self._raised():  # two looks at the beginning of an index, not a scan
            used = [
                self._rows("SELECT min(used_at) FROM blobs WHERE (uses > 1) = ?", again)[0][0]
                for again in (False, True)
            ]
        return min((each for each in used if each is not None), default=nan)

    def held_bytes(self, access_key: str) -> int:
        """Return the bytes of blobs that a connection may read. Raises `IndexFailedError`."""
        with self._raised():
            return int(
                self._rows(
                    "SELECT total(size) FROM blobs WHERE digest IN"
                    " (SELECT digest FROM memberships WHERE access_key = ?)",
                    access_key,
                )[0][0]
            )

    def has_others(self, access_key: str) -> bool:
        """Tell whether another connection may read anything. Raises `IndexFailedError`."""
        with self._raised():
            [(has_others,)] = self._rows(
                "SELECT EXISTS (SELECT 1 FROM memberships WHERE access_key < ?)"
                " OR EXISTS (SELECT 1 FROM memberships WHERE access_key > ?)",
                access_key,
                access_key,
            )
            return bool(has_others)

    def bytes_in_use_by_others(self, others: InUseByOthers) -> int:
        """Return the bytes of these blobs. Raises `IndexFailedError`."""
        with self._raised():
            return int(
                self._rows(
                    f"SELECT total(size) FROM blobs WHERE {_IN_USE_BY_OTHERS}",  # noqa: S608 - a constant
                    others.since,
                    others.access_key,
                )[0][0]
            )

    def least_used(self, limit: int, sparing: InUseByOthers | None = None) -> list[StoredSize]:
        """Return what to evict first: blobs on probation, then the rest, the least recent first.

        `sparing`: without these. Raises `IndexFailedError`.
        """
        spared = f"WHERE NOT ({_IN_USE_BY_OTHERS})" if sparing else ""
        values = (sparing.since, sparing.access_key) if sparing else ()
        with self._raised():
            return _sizes(
                self._rows(
                    f"SELECT digest, size FROM blobs {spared} ORDER BY uses > 1, used_at LIMIT ?",  # noqa: S608 - constants
                    *values,
                    limit,
                )
            )

    def shrink(self, spare_pages: int = SPARE_PAGES) -> bool:
        """Give some empty pages back to the disk; tell whether there are more of them.

        False also if the file cannot give any back.
        """
        with self._noted(), self._writing:
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

    def least_scrubbed(self, before: float, limit: int) -> list[StoredSize]:
        """Return blobs that were last verified before (Unix seconds), the longest ago first.

        Raises `IndexFailedError`.
        """
        with self._raised():
            return _sizes(
                self._rows(
                    "SELECT digest, size FROM blobs WHERE scrubbed_at < ?"
                    " ORDER BY scrubbed_at LIMIT ?",
                    before,
                    limit,
                )
            )

    def _forget_known(self, right: _Right | None = None) -> None:
        """Forget one right in memory, or all; also what is just being read."""
        self._forgotten += 1
        if right is None:
            self._known.clear()
        else:
            self._known.pop(right, None)

    def _read_right(self, right: _Right) -> ProvenRight | None:
        """Read a right. A missing one is not remembered, because it may come at any moment."""
        forgotten = self._forgotten
        with self._reading:
            row = self._file.reader.execute(
                f"SELECT media_type, proven_at FROM memberships WHERE {_OF_RIGHT}",  # noqa: S608 - a constant
                _of_right(*right),
            ).fetchone()
        if row is None:
            return None
        proven = ProvenRight(*row)
        is_as_read = forgotten == self._forgotten and right not in self._unwritten_ends
        if is_as_read and len(self._known) < MAX_KNOWN:
            self._known[right] = proven
        return proven

    def _number(self, query: str) -> int:
        return int(self._file.reader.execute(query).fetchone()[0])

    def _has_row(self, query: str, values: tuple[object, ...] = ()) -> bool:
        try:
            with self._reading:
                return self._file.reader.execute(query, values).fetchone() is not None
        except sqlite3.Error as error:
            self._note_failure(error)
            return False

    def _access_keys(self) -> set[str]:
        return {row[0] for row in self._rows("SELECT access_key FROM holders")}

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._writing:
            return self._file.writer.execute(query, values).fetchall()

    def _write(self, statement: str, values: tuple[object, ...]) -> int:
        """Return how many rows were changed."""
        with self._writing:
            changed = self._file.writer.execute(statement, values).rowcount
        self._written()
        return changed

    def _write_many(self, statement: str, values: Sequence[tuple[object, ...]]) -> None:
        with self._writing, self._file.writer:
            self._file.writer.execute("BEGIN IMMEDIATE")
            self._file.writer.executemany(statement, values)
        self._written()

    def _remove(self, digests: Iterable[Digest]) -> int:
        """Remove blobs in one transaction; return the bytes of the quota that frees."""
        writer = self._file.writer
        with self._writing, writer:
            writer.execute("BEGIN IMMEDIATE")
            before = _taken(writer)
            writer.executemany(
                "DELETE FROM blobs WHERE digest = ?", [(str(digest),) for digest in digests]
            )
            freed = before - _taken(writer)
        self._written()
        return freed

    def _written(self) -> None:
        self._has_failed = False

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._note_failure(error)

    @contextmanager
    def _raised(self) -> Iterator[None]:
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


def _taken(database: sqlite3.Connection) -> int:
    """Return what all complete blobs take of the quota."""
    [(blobs, size)] = database.execute("SELECT blobs, bytes FROM totals").fetchall()
    return int(size + max(0, blobs - FREE_FILES) * FILE_BYTES)


def _of_right(key: FlightKey, repository: RepositoryName) -> tuple[str, str, str, str]:
    return key.access_key, key.kind.value, str(key.digest), str(repository)


def _sizes(rows: list[tuple[Any, ...]]) -> list[StoredSize]:
    try:
        return [StoredSize(Digest.parse(digest), size) for digest, size in rows]
    except InvalidDigestError as error:  # the next start makes a new file
        raise sqlite3.DatabaseError("a digest is damaged") from error


def _name(error: sqlite3.Error) -> str:
    """Return SQLite's name of an error, because its text may quote the query."""
    return getattr(error, "sqlite_errorname", type(error).__name__)
