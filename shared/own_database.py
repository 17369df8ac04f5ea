"""SQLite in a configured folder that belongs to one process: what it must know after a restart.

A kill at any moment leaves the file before or after a transaction. Blocking: callers use a thread.

Such a thread cannot be cancelled, and Python's `sqlite3` ends the process (SIGSEGV) if a connection
is closed in the middle of another thread's query. So whoever closes one holds the lock that each
query holds.
"""

import sqlite3
from pathlib import Path
from typing import Final

from shared.own_files import make_own_database, prepare_own_folder

LOCK_WAIT_SECONDS: Final = 2.0  # a process that is being replaced has let go by then
_IN_USE: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def open_own_database(folder: Path, name: str, schema: str) -> sqlite3.Connection:
    """Open or make a file in a folder of mode 0700, with the tables of `schema`.

    Raises `NotOwnError` and other `OSError`, and `sqlite3.Error`: see `is_in_use`.
    """
    prepare_own_folder(folder)
    path = folder / name
    make_own_database(path)
    database = sqlite3.connect(
        path, timeout=LOCK_WAIT_SECONDS, check_same_thread=False, isolation_level=None
    )
    try:
        # EXCLUSIVE: a second process that is given the same folder is told so.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(schema)
    except sqlite3.Error:
        database.close()
        raise
    return database


def is_in_use(error: sqlite3.Error) -> bool:
    """Tell whether another process has the file open. The module's own errors have no code."""
    return getattr(error, "sqlite_errorcode", None) in _IN_USE
