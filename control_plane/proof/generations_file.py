"""What a control plane has seen, kept across its restarts.

SQLite in `CONTROL_PLANE_STATE_DIR`: the highest generation of each subject, where the audit log
ended, and which of its entries accepted the restore of a backup. It holds no secret. With it, a
process that starts can tell that the end of the log was cut off. It blocks: callers use a thread.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final, Self

from attrs import field, frozen

from control_plane.errors import ControlPlaneError
from control_plane.proof.audit_chain import SeenChain
from control_plane.proof.signed_log import Place
from shared.own_database import is_in_use, open_own_database
from shared.statement import MAX_GENERATION

FILE_NAME: Final = "generations.sqlite3"
LOG_ALONE: Final = "audit"  # the subject under which older versions kept the log's length

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS generations (
    subject TEXT PRIMARY KEY, generation INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS log_end (
    the_only INTEGER PRIMARY KEY CHECK (the_only = 1), sequence INTEGER NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS accepted_restores (hash TEXT PRIMARY KEY) STRICT;
"""


class GenerationsFileError(ControlPlaneError):
    """The state folder cannot be used; the message says why."""


@frozen
class GenerationsFile:
    """An open file; one process holds it."""

    _database: sqlite3.Connection
    # At the end, the last write may come during another one, and it is closed then.
    _using: Lock = field(factory=Lock)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open or make the file in a folder of mode 0700, or raise `GenerationsFileError`."""
        with _explained():
            return cls(open_own_database(directory, FILE_NAME, _TABLES))

    def close(self) -> None:
        """Close the file and let go of its lock."""
        with self._using:
            self._database.close()

    def read(self, highest: int = MAX_GENERATION) -> dict[str, int]:
        """Return the generation of each subject; those above `highest` are left out.

        Raises `GenerationsFileError`.
        """
        with self._using, _explained():
            rows = self._database.execute(
                "SELECT subject, generation FROM generations"
                " WHERE subject <> ? AND generation <= ?",
                (LOG_ALONE, highest),
            )
            found = dict(rows)
        if any((type(key), type(value)) != (str, int) for key, value in found.items()):
            raise GenerationsFileError(f"the file {FILE_NAME} holds rows of another form")
        return found

    def read_chain(self) -> SeenChain:
        """Return where the log ended, or raise `GenerationsFileError`."""
        with self._using, _explained():
            end = self._database.execute("SELECT sequence, hash FROM log_end").fetchone()
            before = self._database.execute(
                "SELECT generation, '' FROM generations WHERE subject = ?", (LOG_ALONE,)
            ).fetchone()
            restores = self._database.execute("SELECT hash FROM accepted_restores")
            return SeenChain(
                Place(*(end or before or (0, ""))), frozenset(each for (each,) in restores)
            )

    def put(self, generations: Mapping[str, int], chain: SeenChain) -> None:
        """Write these generations, and where the log ends now, or raise `GenerationsFileError`."""
        with self._using, _explained(), self._database:  # commits, or rolls back
            self._database.execute("BEGIN")
            self._database.executemany(
                "INSERT INTO generations VALUES (?, ?) ON CONFLICT (subject)"
                " DO UPDATE SET generation = max(generation, excluded.generation)",
                generations.items(),
            )
            self._database.execute(
                "INSERT INTO log_end VALUES (1, ?, ?) ON CONFLICT (the_only)"
                " DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash",
                (chain.end.sequence, chain.end.hash),
            )
            self._database.executemany(
                "INSERT OR IGNORE INTO accepted_restores VALUES (?)",
                [(each,) for each in chain.restores],
            )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GenerationsFileError(f"the folder cannot be used: {error.strerror}") from None
    except sqlite3.Error as error:
        reason = "another process uses it" if is_in_use(error) else type(error).__name__
        raise GenerationsFileError(f"the file {FILE_NAME} cannot be used: {reason}") from None
