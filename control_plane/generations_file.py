"""What a control plane has seen, kept over its restarts: the highest generation of each subject.

SQLite in `CONTROL_PLANE_STATE_DIR`, one row a subject. It holds no secret and proves nothing; it
is how a process that starts on a restored backup can tell. Blocking: callers use a thread.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final, Self

from attrs import field, frozen

from shared.own_files import make_own_database, prepare_own_folder
from shared.safe_message import SafeMessage

FILE_NAME: Final = "generations.sqlite3"
LOCK_WAIT_SECONDS: Final = 2.0  # a process that is being replaced has let go by then

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS generations (
    subject TEXT PRIMARY KEY, generation INTEGER NOT NULL
) STRICT
"""


class GenerationsFileError(SafeMessage, Exception):
    """The state folder cannot be used; the message says why."""


@frozen
class GenerationsFile:
    """An open file; one process holds it."""

    _database: sqlite3.Connection
    _writing: Lock = field(factory=Lock)  # the last write may meet one that is under way

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open or make the file in a folder of mode 0700, or raise `GenerationsFileError`."""
        try:
            prepare_own_folder(directory)
            path = directory / FILE_NAME
            make_own_database(path)
        except OSError as error:
            message = f"the folder cannot be used: {error.strerror}"
            raise GenerationsFileError(message) from None
        database = sqlite3.connect(
            path, timeout=LOCK_WAIT_SECONDS, check_same_thread=False, isolation_level=None
        )
        try:
            with _explained():
                # EXCLUSIVE: a second process that is given the same folder is told so.
                database.execute("PRAGMA locking_mode = EXCLUSIVE")
                database.execute("PRAGMA journal_mode = WAL")
                database.execute(_TABLE)
        except GenerationsFileError:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Close the file and let go of its lock."""
        self._database.close()

    def read(self) -> dict[str, int]:
        """Return the generation of each subject, or raise `GenerationsFileError`."""
        with _explained():
            return dict(self._database.execute("SELECT subject, generation FROM generations"))

    def put(self, generations: Mapping[str, int]) -> None:
        """Write these, or raise `GenerationsFileError`."""
        with self._writing, _explained(), self._database:  # commits, or rolls back
            self._database.execute("BEGIN")
            self._database.executemany(
                "INSERT INTO generations VALUES (?, ?) ON CONFLICT (subject)"
                " DO UPDATE SET generation = max(generation, excluded.generation)",
                generations.items(),
            )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        reason = "another process uses it" if _is_locked(error) else type(error).__name__
        message = f"the file {FILE_NAME} cannot be used: {reason}"
        raise GenerationsFileError(message) from None


def _is_locked(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
