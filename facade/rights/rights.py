"""The rights to read: which access key brought which digest, through which repository.

A right says: this access key itself brought this digest for this repository, and it was verified.
For an asker without a right, the bytes do not exist. On the loop, rights are read only from memory
(`right_nowait`). Everything else blocks, and happens in a thread. So if a disk does not answer,
only those wait whose right is not in memory.

What is in memory holds until a right ends or is renewed. `look` finds out whether that happened in
any process of the machine. Whoever serves from memory calls it all the time (`keep_looking`).

They lie in the store's index, beside what is stored. A failing index breaks no pull: a right that
cannot be read counts as none, and one that cannot be written is proven again.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Collection
from typing import Final, Self

from attrs import define, field, frozen

from facade.loop.thread_work import in_index_thread, in_store_thread
from facade.rights.right import FlightKey, Right
from facade.store.index import Index
from shared.jitter import jittered

LOOKED_EVERY_SECONDS: Final = 0.1  # for what another process ended
# For so long it may still be read: a look may be late if the machine or the disk is busy.
NOTICED_WITHIN_SECONDS: Final = 1.0
MAX_KNOWN: Final = 4096  # rights held in memory, some 500 bytes each
# Of one connection, some 500 bytes each on the disk. Beyond 64 MiB in all, they count for the
# quota.
MAX_RIGHTS: Final = 100_000
PROOFS_BETWEEN_LOOKS: Final = 1000  # until rights are counted again, for connections with too many
# Rights that are ended in one transaction, some 10 ms; others write in between.
RIGHTS_AT_ONCE: Final = 1000
MAX_UNWRITTEN_ENDS: Final = 4096  # rights that ended while the index could not be written
WRITTEN_EVERY_SECONDS: Final = 5.0
TIDIED_EVERY_SECONDS: Final = 6 * 3600.0  # jittered
USELESS_RIGHT_SECONDS: Final = 7 * 24 * 3600.0  # of what is not stored any more

_RIGHTS_OF: Final = """
DELETE FROM memberships WHERE (access_key, kind, digest, repository) IN (
    SELECT access_key, kind, digest, repository FROM memberships WHERE access_key = ? LIMIT ?)
"""
_OF_RIGHT: Final = "access_key = ? AND kind = ? AND digest = ? AND repository = ?"


@frozen
class ProvenRight:
    """The right to read a digest through a repository of a connection."""

    media_type: str
    proven_at: float  # Unix seconds


@define(eq=False)
class Rights:
    """The rights of one machine, as one of its processes knows them."""

    _index: Index
    _clock: Callable[[], float] = time.monotonic
    _known: dict[Right, ProvenRight] = field(factory=dict, init=False)
    _version: int = field(default=-1, init=False)  # of the file, when it was looked at
    _changes: int = field(default=-1, init=False)  # of rights, as `_known` was read
    _looked_at: float = field(default=float("-inf"), init=False)
    _forgotten: int = field(default=0, init=False)  # how often this process forgot some of them
    _unwritten_ends: dict[Right, None] = field(factory=dict, init=False)
    _proofs: int = field(default=0, init=False)  # since rights were last counted
    gives_some: bool = field(default=False, init=False)  # to somebody, some seconds ago

    @classmethod
    def open(cls, index: Index) -> Self:
        """Return the rights of an open index, without those that are of no use. Blocks."""
        rights = cls(index)
        rights.forget_useless(time.time() - USELESS_RIGHT_SECONDS)
        rights.write()
        return rights

    def proven_nowait(self, right: Right) -> ProvenRight | None:
        """Return a right that is in memory. If it is not, it may still be in the file."""
        known = self._known.get(right)
        if known is None or self._clock() - self._looked_at >= NOTICED_WITHIN_SECONDS:
            return None
        return known

    def proven(self, right: Right) -> ProvenRight | None:
        """Return the right to read, if it was proven. Blocks."""
        if self._clock() - self._looked_at >= LOOKED_EVERY_SECONDS:
            self.look()
        if (known := self.proven_nowait(right)) is not None:
            return known
        read: ProvenRight | None = None
        with self._index.noted():
            read = self._read(right)
        return None if right in self._unwritten_ends else read

    def has_any(self, key: FlightKey) -> bool:
        """Tell whether this connection brought a digest, in any repository. Blocks."""
        return self._has_row(
            "SELECT 1 FROM memberships WHERE access_key = ? AND kind = ? AND digest = ? LIMIT 1",
            (key.access_key, key.kind.value, str(key.digest)),
        )

    def look(self) -> None:
        """Forget what is in memory if anybody ended or renewed a right since. Blocks."""
        now = self._clock()
        with self._index.noted():
            with self._index.reading() as reader:
                version = _number(reader, "PRAGMA data_version")
                changes = self._changes
                if version != self._version:  # whatever was written
                    changes = _number(reader, self._index.changes_query)
            if changes != self._changes or len(self._known) >= MAX_KNOWN:
                self._forget_known()
            self._version, self._changes, self._looked_at = version, changes, now

    def prove(self, right: Right, media_type: str) -> None:
        """Write a right, or the time of its newest proof."""
        with self._index.noted():
            self._index.write(
                "INSERT INTO memberships VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET media_type = excluded.media_type,"
                " proven_at = excluded.proven_at",
                (*_of_right(right), media_type, time.time()),
            )
            self._forget_known(right)
            self._unwritten_ends.pop(right, None)
            self._proofs += 1

    def forget_surplus(self, max_rights: int = MAX_RIGHTS, proofs: int = 0) -> None:
        """Forget the rights of a connection beyond so many: those that were proven longest ago.

        They are proven again when they are used. `proofs`: nothing is done until there were so many
        proofs since the last time.
        """
        if self._proofs < proofs:
            return
        self._proofs = 0
        with self._index.noted():
            for (access_key,) in self._index.rows(
                "SELECT access_key FROM holders WHERE rights > ?", max_rights
            ):
                self._index.write(
                    "DELETE FROM memberships WHERE access_key = ? AND proven_at <="
                    " (SELECT proven_at FROM memberships WHERE access_key = ?"
                    " ORDER BY proven_at DESC LIMIT 1 OFFSET ?)",
                    (access_key, access_key, max_rights),
                )
                self._forget_known()

    def prove_again(self, right: Right) -> None:
        """Write the time of a right's newest proof, unless it was ended meanwhile."""
        with self._index.noted():
            self._index.write(
                f"UPDATE memberships SET proven_at = ? WHERE {_OF_RIGHT}",  # noqa: S608 - a constant
                (time.time(), *_of_right(right)),
            )
            self._forget_known(right)

    def end(self, right: Right) -> None:
        """End a right that upstream denied. It ends even if that cannot be written."""
        self._unwritten_ends[right] = None
        self._forget_known(right)
        self.write_ends()
        while len(self._unwritten_ends) > MAX_UNWRITTEN_ENDS:
            # Its last proof stays old, so upstream is asked again at its next use.
            self._unwritten_ends.pop(next(iter(self._unwritten_ends)), None)

    def write_ends(self) -> None:
        """Write what ended and is not written yet."""
        with self._index.noted():
            for right in list(self._unwritten_ends):
                self._index.write(f"DELETE FROM memberships WHERE {_OF_RIGHT}", _of_right(right))  # noqa: S608 - a constant
                self._unwritten_ends.pop(right, None)

    def end_all_but(self, serving: Collection[str]) -> int:
        """End the rights of access keys that serve no more; return the number of keys."""
        ended = 0
        with self._index.noted():
            for access_key in self._access_keys() - set(serving):
                while self._index.write(_RIGHTS_OF, (access_key, RIGHTS_AT_ONCE)) == RIGHTS_AT_ONCE:
                    pass
                self._forget_known()
                self._index.write("DELETE FROM holders WHERE access_key = ?", (access_key,))
                ended += 1
        return ended

    def forget_useless(self, proven_before: float) -> None:
        """Forget rights to what is not stored, proven before then (Unix seconds)."""
        with self._index.noted():
            for access_key in self._access_keys():  # others write in between
                self._index.write(
                    "DELETE FROM memberships WHERE access_key = ? AND proven_at < ?"
                    " AND digest NOT IN (SELECT digest FROM blobs)",
                    (access_key, proven_before),
                )
                self._forget_known()

    def write(self) -> None:
        """Write what ended, forget what is too much, and look whether somebody may read. Blocks."""
        self.write_ends()
        self.gives_some = self._has_row(
            "SELECT 1 FROM memberships JOIN blobs USING (digest) LIMIT 1"
        )
        self.forget_surplus(proofs=PROOFS_BETWEEN_LOOKS)

    async def keep_looking(self) -> None:
        """Look for rights that other processes ended, many times a second, until cancelled."""
        while True:
            await in_index_thread(self.look)
            await asyncio.sleep(LOOKED_EVERY_SECONDS)

    async def keep_written(self) -> None:
        """Write what ended, every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(WRITTEN_EVERY_SECONDS)
            await in_store_thread(self.write)

    async def keep_tidy(self) -> None:
        """Forget what is of no use, every few hours, until cancelled."""
        while True:
            await asyncio.sleep(jittered(TIDIED_EVERY_SECONDS))
            await in_store_thread(self.forget_useless, time.time() - USELESS_RIGHT_SECONDS)

    def _forget_known(self, right: Right | None = None) -> None:
        """Forget one right in memory, or all; also what is just being read."""
        self._forgotten += 1
        if right is None:
            self._known.clear()
        else:
            self._known.pop(right, None)

    def _read(self, right: Right) -> ProvenRight | None:
        """Read a right. A missing one is not remembered, because it may come at any moment."""
        forgotten = self._forgotten
        with self._index.reading() as reader:
            row = reader.execute(
                f"SELECT media_type, proven_at FROM memberships WHERE {_OF_RIGHT}",  # noqa: S608 - a constant
                _of_right(right),
            ).fetchone()
        if row is None:
            return None
        proven = ProvenRight(*row)
        is_as_read = forgotten == self._forgotten and right not in self._unwritten_ends
        if is_as_read and len(self._known) < MAX_KNOWN:
            self._known[right] = proven
        return proven

    def _has_row(self, query: str, values: tuple[object, ...] = ()) -> bool:
        found: list[object] = []
        with self._index.noted(), self._index.reading() as reader:
            found = reader.execute(query, values).fetchmany(1)
        return bool(found)

    def _access_keys(self) -> set[str]:
        return {row[0] for row in self._index.rows("SELECT access_key FROM holders")}


def _of_right(right: Right) -> tuple[str, str, str, str]:
    key = right.key
    return key.access_key, key.kind.value, str(key.digest), str(right.repository)


def _number(database: sqlite3.Connection, query: str) -> int:
    return int(database.execute(query).fetchone()[0])
