"""An envelope as columns of a row: SQL bounds the lengths, and the types are checked here.

Whoever owns the tables may write rows of any size, NULL, and columns of other types. A row that
does not have the form of an envelope is none, and proves nothing.
"""

from typing import Final

from control_plane.database.one_trip import Row
from shared.canonical_json import MAX_DOCUMENT_BYTES
from shared.statement import StoredStatement

MAX_WORD_BYTES: Final = 256  # of a type, a key id or a signature: the longest has 64
_BOUNDS: Final = {
    "type": MAX_WORD_BYTES,
    "key_id": MAX_WORD_BYTES,
    "payload": MAX_DOCUMENT_BYTES,
    "signature": MAX_WORD_BYTES,
}


def envelope_names(prefix: str = "") -> tuple[str, ...]:
    """Return the names of the columns of a SELECT."""
    return tuple(f"{prefix}{name}" for name in _BOUNDS)


def envelope_columns(table: str = "", prefix: str = "") -> str:
    """Return the columns of a SELECT, from a table's alias, their names with a prefix."""
    return ", ".join(
        bounded_column(f"{table}.{name}" if table else name, f"{prefix}{name}", most)
        for name, most in _BOUNDS.items()
    )


def bounded_column(column: str, name: str, max_bytes: int) -> str:
    """Return a column of a SELECT, which is NULL if it is longer than the bound."""
    return f"CASE WHEN octet_length({column}) <= {max_bytes} THEN {column} END AS {name}"


def envelope_of_form(row: Row | None, prefix: str = "") -> StoredStatement | None:
    """Return the envelope of a row; None if a column is empty or of another type."""
    if row is None:
        return None
    kind, key_id, payload, signature = [row[prefix + name] for name in _BOUNDS]
    stored = StoredStatement.of_columns(kind, key_id, payload, signature)
    has_all = stored.type and stored.key_id and stored.payload and stored.signature
    return stored if has_all else None
