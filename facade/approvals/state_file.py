"""The snapshot on disk, still sealed and signed, with the highest generation of every subject.

One change writes one row: see `own_database`. Blocking: callers use a thread.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final, Self

from attrs import field, frozen

from facade.approvals.remembered_statements import RememberedStatement
from facade.approvals.statement_rows import (
    MAX_NAME_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_SIGNATURE_BYTES,
    MAX_SUBJECT_BYTES,
)
from facade.approvals.verified_row import StatementRow
from facade.errors import UnusableSettingError
from shared.own_database import is_in_use, open_own_database
from shared.statement import StoredStatement

STATE_FILE_NAME: Final = "statements.sqlite3"
ROWS_AT_ONCE: Final = 64  # that are read while the file is not closed

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS statements (
    subject TEXT PRIMARY KEY, type TEXT NOT NULL, key_id TEXT NOT NULL, payload BLOB NOT NULL,
    signature BLOB NOT NULL, generation INTEGER NOT NULL, withdrawn INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS last_read (
    only INTEGER PRIMARY KEY CHECK (only = 1), at_milliseconds INTEGER NOT NULL
) STRICT;
"""

# SQLite does not check types and lengths when it reads. In a damaged file they may be anything.
_OTHER_FORM: Final = f"""
SELECT 1 FROM statements WHERE
    typeof(subject) <> 'text' OR typeof(type) <> 'text' OR typeof(key_id) <> 'text'
    OR typeof(payload) <> 'blob' OR typeof(signature) <> 'blob'
    OR typeof(generation) <> 'integer' OR typeof(withdrawn) <> 'integer'
    OR length(subject) > {MAX_SUBJECT_BYTES} OR length(type) > {MAX_NAME_BYTES}
    OR length(key_id) > {MAX_NAME_BYTES} OR length(payload) > {MAX_PAYLOAD_BYTES}
    OR length(signature) > {MAX_SIGNATURE_BYTES}
LIMIT 1
"""  # noqa: S608 - made of constants


class StateFileError(UnusableSettingError):
    """The state folder cannot be used; the message says why."""


@frozen
class StateRow:
    """A remembered statement as it lies on disk, not yet verified."""

    row: StatementRow
    generation: int
    withdrawn: bool


@frozen
class StateFile:
    """An open state file; one process holds it."""

    _database: sqlite3.Connection
    # Reading and writing have a thread each, and a read whose caller was cancelled goes on.
    _using: Lock = field(factory=Lock, init=False, eq=False, repr=False)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open or make the state file in a folder of mode 0700, or raise `StateFileError`."""
        with _explained():
            return cls(open_own_database(directory, STATE_FILE_NAME, _SCHEMA))

    def close(self) -> None:
        """Close the file and let go of its lock."""
        with self._using:
            self._database.close()

    def last_read_milliseconds(self) -> int | None:
        """Return when the database was last read whole, in Unix milliseconds.

        Raises `StateFileError`.
        """
        with self._using, _explained():
            found = self._database.execute("SELECT at_milliseconds FROM last_read").fetchone()
        return int(found[0]) if found else None

    def rows(self) -> Iterator[StateRow]:
        """Return every remembered statement; raise `StateFileError` if the file is damaged."""
        query = (
            "SELECT subject, type, key_id, payload, signature, generation, withdrawn"
            " FROM statements"
        )
        with self._using, _explained():
            cursor = self._database.execute(query)
            if self._database.execute(_OTHER_FORM).fetchone() is not None:
                raise StateFileError(
                    f"FACADE_STATE_DIR: {STATE_FILE_NAME} holds rows of another form"
                )
        while True:
            with self._using, _explained():
                found = cursor.fetchmany(ROWS_AT_ONCE)
            if not found:
                return
            for subject, kind, key_id, payload, signature, generation, withdrawn in found:
                stored = StoredStatement(kind, key_id, payload, signature)
                yield StateRow(StatementRow(subject, stored), generation, bool(withdrawn))

    def save(self, changed: Iterable[tuple[str, RememberedStatement]], read_at: int | None) -> None:
        """Write what changed, and when the database was read, in one transaction."""
        with self._using, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "INSERT OR REPLACE INTO statements VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        subject,
                        known.stored.type,
                        known.stored.key_id,
                        known.stored.payload,
                        known.stored.signature,
                        known.generation,
                        known.withdrawn,
                    )
                    for subject, known in changed
                ],
            )
            if read_at is not None:
                self._database.execute("INSERT OR REPLACE INTO last_read VALUES (1, ?)", (read_at,))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateFileError(
            f"FACADE_STATE_DIR: the folder cannot be used: {error.strerror}"
        ) from error
    except sqlite3.Error as error:
        if is_in_use(error):
            raise StateFileError("FACADE_STATE_DIR: another facade uses this folder") from error
        raise StateFileError(
            f"FACADE_STATE_DIR: {STATE_FILE_NAME} cannot be read: {error}"
        ) from error
