"""What is stored, how large it is, and when it was used and verified: the index's catalogue.

It is also asked what connections have of it, which joins it with their rights: what one connection
displaces depends on what others use (`shares`). Everything blocks. What the quota depends on raises
`IndexFailedError`; nothing else does.
"""

import sqlite3
import time
from collections.abc import Collection, Iterable
from math import nan
from typing import Any, Final

from attrs import frozen

from facade.store.index import Index
from shared.oci import Digest, InvalidDigestError

# A blob and its checksums take at least a block of the disk each. The quota is rounded to the
# blocks of so many blobs; those of more blobs count.
FREE_FILES: Final = 10_000
FILE_BYTES: Final = 8 * 1024
_IN_USE_BY_OTHERS: Final = (
    "uses > 1 AND used_at > ? AND digest IN (SELECT digest FROM memberships WHERE access_key != ?)"
)
_BEHIND_HEX: Final = "g"
_TOTALS: Final = "SELECT blobs, bytes FROM totals"


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


@frozen
class Catalogue:
    """The blobs of an open index."""

    _index: Index

    def added(self, digest: Digest, size: int) -> None:
        """Note a new, verified blob, on probation: used once. Raises `IndexFailedError`."""
        now = time.time()
        with self._index.raised():
            self._index.write(
                "INSERT INTO blobs VALUES (?, ?, ?, 1, ?)"
                " ON CONFLICT (digest) DO UPDATE SET used_at = excluded.used_at, uses = uses + 1,"
                " size = excluded.size, scrubbed_at = excluded.scrubbed_at",
                (str(digest), size, now, now),
            )

    def found(self, digest: Digest, size: int) -> None:
        """Note a stored blob, unless it is noted already."""
        with self._index.noted():
            self._index.write(
                "INSERT OR IGNORE INTO blobs VALUES (?, ?, ?, 1, 0)",
                (str(digest), size, time.time()),
            )

    def found_all(self, blobs: Iterable[StoredSize]) -> None:
        """Note stored blobs, unless they are noted already, all at once."""
        now = time.time()
        rows = [(str(each.digest), each.size, now) for each in blobs]
        if rows:
            with self._index.noted():
                self._index.write_many("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?, 1, 0)", rows)

    def used(self, uses: dict[Digest, int]) -> None:
        """Note uses of blobs since the last time."""
        now = time.time()
        with self._index.noted():
            self._index.write_many(
                "UPDATE blobs SET used_at = ?, uses = uses + ? WHERE digest = ?",
                [(now, count, str(digest)) for digest, count in uses.items()],
            )

    def scrubbed(self, digests: Iterable[Digest]) -> None:
        """Note that the whole of these blobs was verified now."""
        now = time.time()
        with self._index.noted():
            self._index.write_many(
                "UPDATE blobs SET scrubbed_at = ? WHERE digest = ?",
                [(now, str(digest)) for digest in digests],
            )

    def removed(self, *digests: Digest) -> None:
        """Note that blobs are gone, all at once."""
        if digests:
            with self._index.noted():
                self._remove(digests)

    def noted(self, digests: Collection[Digest]) -> set[Digest]:
        """Return those of these blobs that are noted. Raises `IndexFailedError`."""
        with self._index.raised():
            marks = ", ".join("?" * len(digests))
            query = f"SELECT digest FROM blobs WHERE digest IN ({marks})"  # noqa: S608 - question marks
            found = {row[0] for row in self._index.rows(query, *map(str, digests))}
        return {digest for digest in digests if str(digest) in found}

    def noted_behind(self, after: str, beginning: str, limit: int) -> list[Digest]:
        """Return noted blobs whose digests have this beginning and come after another, in order.

        Raises `IndexFailedError`.
        """
        with self._index.raised():
            return [
                each.digest
                for each in _sizes(
                    self._index.rows(
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
        with self._index.raised():
            [(count,)] = self._index.rows(
                "SELECT count(*) FROM blobs WHERE digest > ? AND digest < ?",
                beginning,
                beginning + _BEHIND_HEX,
            )
        return int(count)

    def evicted(self, digests: Iterable[Digest]) -> int:
        """Note that blobs are gone as `removed` does; return the bytes of the quota that frees.

        Raises `IndexFailedError`.
        """
        with self._index.raised():
            return self._remove(digests)

    def stored_bytes(self) -> int:
        """Return what all complete blobs take of the quota. Raises `IndexFailedError`."""
        with self._index.raised():
            return _taken(self._index.rows(_TOTALS))

    def stored_blobs(self) -> int:
        """Return how many complete blobs there are. Raises `IndexFailedError`."""
        with self._index.raised():
            return int(self._index.rows("SELECT blobs FROM totals")[0][0])

    def oldest_use(self) -> float:
        """Return when the blob was used that was used the longest ago (Unix seconds).

        NaN if there is none. Raises `IndexFailedError`.
        """
        with self._index.raised():  # two looks at the beginning of an index, not a scan
            used = [
                self._index.rows("SELECT min(used_at) FROM blobs WHERE (uses > 1) = ?", again)[0][0]
                for again in (False, True)
            ]
        return min((each for each in used if each is not None), default=nan)

    def held_bytes(self, access_key: str) -> int:
        """Return the bytes of blobs that a connection may read. Raises `IndexFailedError`."""
        with self._index.raised():
            return int(
                self._index.rows(
                    "SELECT total(size) FROM blobs WHERE digest IN"
                    " (SELECT digest FROM memberships WHERE access_key = ?)",
                    access_key,
                )[0][0]
            )

    def has_others(self, access_key: str) -> bool:
        """Tell whether another connection may read anything. Raises `IndexFailedError`."""
        with self._index.raised():
            [(has_others,)] = self._index.rows(
                "SELECT EXISTS (SELECT 1 FROM memberships WHERE access_key < ?)"
                " OR EXISTS (SELECT 1 FROM memberships WHERE access_key > ?)",
                access_key,
                access_key,
            )
            return bool(has_others)

    def bytes_in_use_by_others(self, others: InUseByOthers) -> int:
        """Return the bytes of these blobs. Raises `IndexFailedError`."""
        with self._index.raised():
            return int(
                self._index.rows(
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
        with self._index.raised():
            return _sizes(
                self._index.rows(
                    f"SELECT digest, size FROM blobs {spared} ORDER BY uses > 1, used_at LIMIT ?",  # noqa: S608 - constants
                    *values,
                    limit,
                )
            )

    def least_scrubbed(self, before: float, limit: int) -> list[StoredSize]:
        """Return blobs that were last verified before (Unix seconds), the longest ago first.

        Raises `IndexFailedError`.
        """
        with self._index.raised():
            return _sizes(
                self._index.rows(
                    "SELECT digest, size FROM blobs WHERE scrubbed_at < ?"
                    " ORDER BY scrubbed_at LIMIT ?",
                    before,
                    limit,
                )
            )

    def _remove(self, digests: Iterable[Digest]) -> int:
        """Remove blobs in one transaction; return the bytes of the quota that frees."""
        with self._index.transaction() as writer:
            before = _taken(writer.execute(_TOTALS).fetchall())
            writer.executemany(
                "DELETE FROM blobs WHERE digest = ?", [(str(digest),) for digest in digests]
            )
            return before - _taken(writer.execute(_TOTALS).fetchall())


def _taken(totals: list[tuple[Any, ...]]) -> int:
    """Return what all complete blobs take of the quota."""
    [(blobs, size)] = totals
    return int(size + max(0, blobs - FREE_FILES) * FILE_BYTES)


def _sizes(rows: list[tuple[Any, ...]]) -> list[StoredSize]:
    try:
        return [StoredSize(Digest.parse(digest), size) for digest, size in rows]
    except InvalidDigestError as error:  # the next start makes a new file
        raise sqlite3.DatabaseError("a digest is damaged") from error
