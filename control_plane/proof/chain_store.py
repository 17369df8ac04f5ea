"""The SQL of the chain as a whole: rows in, rows out, nothing believed.

Lengths are bounded before a row is read. A row that does not have the form of an entry has `None`.
"""

from collections.abc import Collection, Iterable
from typing import Final

from control_plane.database.database import DatabaseConnection
from control_plane.database.one_trip import Part, Row, fetch_parts
from control_plane.proof.checkpoint import MAX_HEADS_BYTES, StoredCheckpoint
from control_plane.proof.envelope_columns import (
    bounded_column,
    envelope_columns,
    envelope_names,
    envelope_of_form,
)
from control_plane.proof.signed_log import Place
from control_plane.proof.walk_back import EntryRow

BATCH_ENTRIES: Final = 2000  # read at once; some 10 ms to prove
BATCH_BYTES: Final = 8 * 1024 * 1024  # of payloads at once, and the one that exceeds it
FOLLOWED_ENTRIES: Final = 32  # read along with something else: 8 MiB at most, some ms to prove
MAX_SEQUENCE: Final = 2**63 - 1  # Postgres' bigint
_ENVELOPE: Final = envelope_columns()
_BACK: Final = f"""
SELECT sequence, {_ENVELOPE} FROM (
  SELECT *, coalesce(sum(octet_length(payload)) OVER (
    ORDER BY sequence DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
  ), 0) AS bytes_above FROM (
    SELECT sequence, type, key_id, payload, signature FROM public.audit_entries
    WHERE sequence >= $1 AND sequence <= $2
    ORDER BY sequence DESC LIMIT $3
  ) AS newest
) AS bounded WHERE bytes_above < {BATCH_BYTES} ORDER BY sequence DESC
"""  # noqa: S608 - constants


async def fetch_entries_back(
    connection: DatabaseConnection,
    *,
    below: int | None = None,
    down_to: int = 0,
    at_most: int = BATCH_ENTRIES,
) -> list[EntryRow]:
    """Return entries downwards, from the one before `below` (or the end), not beyond `down_to`."""
    (rows,) = await fetch_parts(
        connection,
        [
            Part(
                ("sequence", *envelope_names()),
                _BACK,
                (down_to, MAX_SEQUENCE if below is None else below - 1, at_most),
            )
        ],
    )
    return entry_rows_of(rows)


def entries_since(place: Place) -> Part:
    """Return the read of the entries from the end down to a place, of the newest of many."""
    return Part(
        ("sequence", *envelope_names()),
        f"SELECT sequence, {_ENVELOPE} FROM public.audit_entries"  # noqa: S608 - constants
        f" WHERE sequence >= $1 ORDER BY sequence DESC LIMIT {FOLLOWED_ENTRIES}",
        (place.sequence,),
    )


def entries_at(places: Collection[Place]) -> Part:
    """Return the read of the entries at these places of the chain."""
    return Part(
        ("sequence", *envelope_names()),
        f"SELECT sequence, {_ENVELOPE} FROM public.audit_entries"  # noqa: S608 - constants
        " WHERE sequence = ANY ($1::bigint[])",
        (sorted({place.sequence for place in places}),),
    )


def entry_rows_of(rows: Iterable[Row]) -> list[EntryRow]:
    """Return the rows of such a read; `stored` is None if a row has not the form of an entry."""
    return [EntryRow(int(row["sequence"]), envelope_of_form(row)) for row in rows]


async def fetch_checkpoint(connection: DatabaseConnection) -> StoredCheckpoint | None:
    """Return the checkpoint; None if there is none, or if it is longer than any can be."""
    heads = bounded_column("heads", "heads", MAX_HEADS_BYTES)
    select = f"SELECT {_ENVELOPE}, {heads} FROM public.audit_checkpoint"  # noqa: S608 - constants
    (rows,) = await fetch_parts(connection, [Part((*envelope_names(), "heads"), select)])
    stored = envelope_of_form(rows[0]) if rows else None
    if stored is None or not isinstance(rows[0]["heads"], bytes):
        return None
    return StoredCheckpoint(stored, rows[0]["heads"])


async def put_checkpoint(connection: DatabaseConnection, checkpoint: StoredCheckpoint) -> None:
    """Write the checkpoint in place of the old one."""
    stored = checkpoint.stored
    await connection.execute(
        "INSERT INTO public.audit_checkpoint (type, key_id, payload, signature, heads)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (the_only) DO UPDATE"
        " SET type = excluded.type, key_id = excluded.key_id, payload = excluded.payload,"
        " signature = excluded.signature, heads = excluded.heads",
        stored.type,
        stored.key_id,
        stored.payload,
        stored.signature,
        checkpoint.heads,
    )
