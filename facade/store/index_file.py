"""The index on disk. Every process of the machine opens it; a damaged one is replaced.

Nothing in it is lost for good: what is stored is found again in the folders, and a right to read is
proven again. A damaged file is put aside only if no other process has it open and may write to it.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from attrs import frozen

from facade.errors import StoreFailedError
from facade.store.file_lock import lock_exclusively, lock_shared, unlock
from facade.store.index_schema import SCHEMA, SCHEMA_VERSION, changes_query_of, count
from shared.own_files import make_own_database, open_own
from shared.structured_log import get_logger

WRITER_WAIT_SECONDS: Final = 10.0  # for another process's write, which is short
READER_WAIT_SECONDS: Final = 0.25  # only while another process recovers the file
OPEN_WAIT_SECONDS: Final = 60.0  # for another process that replaces the file, or makes it shrink
OPEN_POLL_SECONDS: Final = 0.05
# A file that cannot shrink is rewritten once, by a process that starts alone. That took 25 s a GiB.
MAX_REWRITTEN_BYTES: Final = 1024 * 1024 * 1024
# To so much SQLite truncates its log. Without it, the largest transaction would stay on the disk.
MAX_LOG_BYTES: Final = 4 * 1024 * 1024
# Of the file's pages, so much each of two connections keeps in memory, as SQLite does if it is not
# told. The first thousands of cold pulls fill it, with 0.7 to 1.6 KB each.
PAGE_CACHE_BYTES: Final = 2000 * 1024
# A flipped bit in a row leaves the pages as sound as they were.
_OTHER_FORM: Final = """
SELECT 1 FROM blobs WHERE size < 0 OR substr(digest, 8) GLOB '*[^0-9a-f]*'
    OR (substr(digest, 1, 7), length(digest)) NOT IN (VALUES ('sha256:', 71), ('sha512:', 135))
LIMIT 1
"""
_PAGE_CACHE: Final = f"PRAGMA cache_size = {-PAGE_CACHE_BYTES // 1024}"  # KiB
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_INCREMENTAL: Final = 2  # of `PRAGMA auto_vacuum`
_PRIMARY_CODE: Final = 0xFF  # of SQLite's extended result codes
_log = get_logger("facade.store")


class DamagedIndexError(StoreFailedError):
    """The file is not our index, or its pages are inconsistent."""


class IndexInUseError(StoreFailedError):
    """The file is damaged, and another process of this machine has it open."""


@frozen
class IndexFile:
    """The open file: one connection that writes, and one that reads who may read what."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    changes_query: str  # for the reader: its number changes with a right
    _lock: int

    @classmethod
    def open(cls, path: Path, aside: Path, wait_seconds: float = OPEN_WAIT_SECONDS) -> Self:
        """Open or make the file; move a damaged one into the folder `aside`. Blocks.

        `wait_seconds`: for another process that does the same.
        Raises `IndexInUseError`, `sqlite3.Error` and `OSError`.
        """
        lock = open_own(f"{path}.lock", os.O_RDWR | os.O_CREAT)
        try:
            writer = _opened(path, aside, lock, time.monotonic() + wait_seconds)
            try:
                _have_it_shrink(path, writer, lock)
                reader = _connect(path, READER_WAIT_SECONDS)
                reader.execute(_PAGE_CACHE)
                reader.execute("PRAGMA query_only = ON")
                changes_query = changes_query_of(reader)
            except sqlite3.Error:
                writer.close()
                raise
        except BaseException:  # whatever it is, the lock is let go
            os.close(lock)
            raise
        return cls(writer, reader, changes_query, lock)

    def close(self) -> None:
        """Close the file."""
        self.reader.close()
        self.writer.close()
        os.close(self._lock)


def size_of(path: Path) -> int:
    """Return the bytes of an index file and of what SQLite keeps beside it."""
    return sum(_size(part) for part in _parts(path))


def _opened(path: Path, aside: Path, lock: int, deadline: float) -> sqlite3.Connection:
    """Return a connection, holding a share of the lock."""
    while True:
        if lock_shared(lock):
            with suppress(DamagedIndexError):
                return _checked(path)
            unlock(lock)
        if lock_exclusively(lock):
            writer = _checked_or_new(path, aside)
            lock_shared(lock)
            return writer
        if time.monotonic() > deadline:
            raise IndexInUseError("the index is damaged, and another process has it open")
        time.sleep(OPEN_POLL_SECONDS)


def _have_it_shrink(path: Path, writer: sqlite3.Connection, lock: int) -> None:
    """Make a file of an older version give back pages that it does not use, from now on.

    For that, SQLite rewrites the file, and nobody else can write meanwhile. So it is done at a
    start, when no other process has the file open, and only if it takes less than a minute.
    """
    if _number(writer, "PRAGMA auto_vacuum") == _INCREMENTAL or not lock_exclusively(lock):
        return
    try:
        if (size := _size(path)) > MAX_REWRITTEN_BYTES:
            _log.warning("index is too large to be written anew, it will not shrink", bytes=size)
            return
        writer.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
        writer.execute("VACUUM")
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        _log.info("index written anew, it shrinks from now on", bytes=size)
    except sqlite3.Error as error:  # no room for a second one, say: it is as good as before
        _log.warning("index not written anew, it will not shrink", reason=type(error).__name__)
    finally:
        lock_shared(lock)


def _checked_or_new(path: Path, aside: Path) -> sqlite3.Connection:
    try:
        return _checked(path)
    except DamagedIndexError as error:
        _log.error("index is damaged, made anew", reason=str(error))
    named = aside / f"index-{time.time_ns()}"
    for part in _parts(path):
        with suppress(FileNotFoundError):
            part.rename(f"{named}{part.name.removeprefix(path.name)}")
    return _checked(path)


def _checked(path: Path) -> sqlite3.Connection:
    """Return a connection to a sound file. Make one if there is none."""
    make_own_database(path)
    with _damage_told():
        database = _connect(path, WRITER_WAIT_SECONDS)
        try:
            _prepare(database)
        except BaseException:  # whatever it is, the file is closed
            database.close()
            raise
    return database


def _prepare(database: sqlite3.Connection) -> None:
    database.execute(_PAGE_CACHE)
    version = _number(database, "PRAGMA user_version")
    if version != SCHEMA_VERSION and _number(database, "SELECT count(*) FROM sqlite_master"):
        raise DamagedIndexError("it is of another version")
    if version != SCHEMA_VERSION:
        database.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")  # before anything is in it
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(f"PRAGMA journal_size_limit = {MAX_LOG_BYTES}")
    # A crash of the machine may lose the newest rights. They are proven again.
    database.execute("PRAGMA synchronous = NORMAL")
    if version != SCHEMA_VERSION:
        database.executescript(SCHEMA)
    with closing(database.execute("PRAGMA quick_check(1)")) as check:
        if check.fetchone() != ("ok",):
            raise DamagedIndexError("its pages do not hang together")
    with closing(database.execute(_OTHER_FORM)) as check:
        if check.fetchone() is not None:
            raise DamagedIndexError("it holds what is no digest or no size")
    if not count(database):
        _log.warning("index is not counted, it is added up each time until the next start")


def _connect(path: Path, wait: float) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=wait, check_same_thread=False, isolation_level=None)


def _number(database: sqlite3.Connection, query: str) -> int:
    with closing(database.execute(query)) as cursor:
        return int(cursor.fetchone()[0])


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", None)  # the module's own errors have none
        if code is not None and code & _PRIMARY_CODE in _DAMAGE:
            raise DamagedIndexError("it cannot be read as an index") from error
        raise


def _parts(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}{suffix}") for suffix in ("", "-wal", "-shm")]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
