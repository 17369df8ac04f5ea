"""An envelope as columns of a row: lengths are bounded in SQL, and types are looked at here.

Whoever owns the tables may write rows of any size, NULL, and columns of other types. A row that has
not the form of an envelope is none: what it should prove is not proven.
"""

from typing import Final

from control_plane.database.one_trip import Row
from shared.canonical_json import MAX_DOCUMENT_BYTES
from shared.statement import StoredStatement

MAX_WORD_BYTES: Final = 256  # of a type, a key id, a signature: the longest has 64
_BOUNDS: Final = {
    "type": MAX_WORD_BYTES,
    "key_id": MAX_WORD_BYTES,
    "payload": MAX_DOCUMENT_BYTES,
    "signature": MAX_WORD_BYTES,
}


def envelope_names(prefix: str = "") -> tuple[str, ...]:
    """Return what the columns for a SELECT are called."""
    return tuple(f"{prefix}{name}" for name in _BOUNDS)


def envelope_columns(table: str = "", prefix: str = "") -> str:
    """Return the columns for a SELECT, of a table's alias and with a prefix before their names."""
    return ", ".join(
        bounded_column(f"{table}.{name}" if table else name, f"{prefix}{name}", most)
        for name, most in _BOUNDS.items()
    )


def bounded_column(column: str, name: str, max_bytes: int) -> str:
    """Return a column for a SELECT, which is NULL where it is longer."""
    return f"CASE WHEN octet_length({column}) <= {max_bytes} THEN {column} END AS {name}"


def envelope_of_form(row: Row | None, prefix: str = "") -> StoredStatement | None:
    """Return the envelope of a row; none where a column is empty, or not of an envelope's type."""
    if row is None:
        return None
    stored = StoredStatement.of_columns(*(row[f"{prefix}{name}"] for name in _BOUNDS))
    parts = (stored.type, stored.key_id, stored.payload, stored.signature)
    return stored if all(parts) else None
