"""The tables of the index, and what is counted as they change, so that nobody adds it up.

`totals` has the number of blobs and their bytes. `holders` has each access key that has rights, and
how many. `changes` has how often a right ended or was renewed, so that rights in memory need not be
forgotten after every write.

Triggers update them in the transaction that changes a table: in every process that has the file
open, also one of a version that knows nothing of them, and across a crash. `totals` and `holders`
are checked whenever the file is opened, which reads every page anyway. A file of an older version
has neither, and that version replaces rights in a way that fires no trigger for the old one.
"""

import sqlite3
from contextlib import closing
from typing import Final

SCHEMA_VERSION: Final = 1  # a file that the version before can use has its number

# The table of rights keeps the name by which the version before reads it.
SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS memberships (
    access_key TEXT NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL, repository TEXT NOT NULL,
    media_type TEXT NOT NULL, proven_at REAL NOT NULL,
    PRIMARY KEY (access_key, kind, digest, repository)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blobs (
    digest TEXT PRIMARY KEY, size INTEGER NOT NULL, used_at REAL NOT NULL, uses INTEGER NOT NULL,
    scrubbed_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blobs_by_use ON blobs (uses > 1, used_at);
CREATE INDEX IF NOT EXISTS blobs_by_scrub ON blobs (scrubbed_at);
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""

# No statement in a trigger may conflict, because the outer statement would decide how to resolve it
# (https://www.sqlite.org/lang_createtrigger.html), and REPLACE would restart a count.
_COUNTED: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS totals (
    id INTEGER PRIMARY KEY CHECK (id = 1), blobs INTEGER NOT NULL, bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS holders (
    access_key TEXT PRIMARY KEY, rights INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS blob_came AFTER INSERT ON blobs BEGIN
    UPDATE totals SET blobs = blobs + 1, bytes = bytes + NEW.size;
END;
CREATE TRIGGER IF NOT EXISTS blob_changed AFTER UPDATE OF size ON blobs BEGIN
    UPDATE totals SET bytes = bytes + NEW.size - OLD.size;
END;
CREATE TRIGGER IF NOT EXISTS blob_went AFTER DELETE ON blobs BEGIN
    UPDATE totals SET blobs = blobs - 1, bytes = bytes - OLD.size;
END;
CREATE TRIGGER IF NOT EXISTS right_came AFTER INSERT ON memberships BEGIN
    INSERT INTO holders SELECT NEW.access_key, 0
        WHERE NOT EXISTS (SELECT 1 FROM holders WHERE access_key = NEW.access_key);
    UPDATE holders SET rights = rights + 1 WHERE access_key = NEW.access_key;
END;
CREATE TRIGGER IF NOT EXISTS right_went AFTER DELETE ON memberships BEGIN
    UPDATE holders SET rights = rights - 1 WHERE access_key = OLD.access_key;
    DELETE FROM holders WHERE access_key = OLD.access_key AND rights <= 0;
END;
DELETE FROM totals;
INSERT INTO totals SELECT 1, count(*), CAST(total(size) AS INTEGER) FROM blobs;
DELETE FROM holders;
INSERT INTO holders SELECT access_key, count(*) FROM memberships GROUP BY access_key;
COMMIT;
"""
# A new right changes none that anybody has in memory.
_CHANGES: Final = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS changes (
    id INTEGER PRIMARY KEY CHECK (id = 1), rights INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO changes VALUES (1, 0);
CREATE TRIGGER IF NOT EXISTS right_ended AFTER DELETE ON memberships BEGIN
    UPDATE changes SET rights = rights + 1;
END;
CREATE TRIGGER IF NOT EXISTS right_renewed AFTER UPDATE ON memberships BEGIN
    UPDATE changes SET rights = rights + 1;
END;
COMMIT;
"""
_CHANGES_OF_RIGHTS: Final = "SELECT rights FROM changes"
_CHANGES_OF_ANYTHING: Final = "PRAGMA data_version"  # without the table: more often than needed
_HAS_CHANGES: Final = "SELECT count(*) FROM sqlite_master WHERE name = 'right_renewed'"
# If the disk has no room for the counts, this process adds them up each time.
_ADDED_UP: Final = """
PRAGMA temp_store = MEMORY;
CREATE TEMP VIEW totals AS
    SELECT count(*) AS blobs, CAST(total(size) AS INTEGER) AS bytes FROM blobs;
CREATE TEMP VIEW holders AS
    SELECT access_key, count(*) AS rights FROM memberships GROUP BY access_key;
CREATE TEMP TRIGGER holder_went INSTEAD OF DELETE ON holders BEGIN SELECT 1; END;
"""
_HAS_COUNTS: Final = "SELECT count(*) FROM sqlite_master WHERE name = 'right_went'"
_IS_RIGHT: Final = """
WITH there AS (SELECT access_key, count(*) AS rights FROM memberships GROUP BY access_key)
SELECT (SELECT blobs FROM totals) = (SELECT count(*) FROM blobs)
    AND (SELECT bytes FROM totals) = (SELECT CAST(total(size) AS INTEGER) FROM blobs)
    AND NOT EXISTS (SELECT access_key, rights FROM holders EXCEPT SELECT * FROM there)
    AND NOT EXISTS (SELECT * FROM there EXCEPT SELECT access_key, rights FROM holders)
"""


def count(database: sqlite3.Connection) -> bool:
    """Count what there is, unless that was done. False if the counts cannot be written.

    Then it is added up whenever it is asked for. Raises `sqlite3.Error` if it cannot be read.
    """
    is_right = _one(database, _HAS_COUNTS) and _one(database, _IS_RIGHT)
    try:
        if not _one(database, _HAS_CHANGES):
            database.executescript(_CHANGES)
        if is_right:
            return True
        database.executescript(_COUNTED)
    except sqlite3.OperationalError:  # a full disk, say
        if database.in_transaction:
            database.execute("ROLLBACK")
        if is_right:  # rights in memory are forgotten more often
            return True
        database.executescript(_ADDED_UP)
        return False
    return True


def changes_query_of(reader: sqlite3.Connection) -> str:
    """Return a query whose number changes when a right changes."""
    return _CHANGES_OF_RIGHTS if _one(reader, _HAS_CHANGES) else _CHANGES_OF_ANYTHING


def _one(database: sqlite3.Connection, query: str) -> bool:
    with closing(database.execute(query)) as cursor:
        return bool(cursor.fetchone()[0])
