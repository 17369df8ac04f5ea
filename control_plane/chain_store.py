"""The SQL of the chain as a whole: rows in, rows out, nothing believed.

Lengths are bounded before a row is read; what has not the form of an entry is said to have none.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from control_plane.checkpoint import MAX_HEADS_BYTES, StoredCheckpoint
from control_plane.database import DatabaseConnection
from control_plane.envelope_columns import bounded_column, envelope_columns, envelope_of_form
from control_plane.signed_log import Place, entry_hash
from control_plane.walk_back import EntryRow
from shared.statement import StoredStatement

BATCH_ENTRIES: Final = 2000  # read at once; some 10 ms to prove
BATCH_BYTES: Final = 8 * 1024 * 1024  # of payloads at once, but for the one that goes beyond it
MAX_SEQUENCE: Final = 2**63 - 1  # Postgres' bigint
_ENVELOPE: Final = envelope_columns()


async def fetch_entries_back(
    connection: DatabaseConnection,
    *,
    below: int | None = None,
    down_to: int = 0,
    at_most: int = BATCH_ENTRIES,
) -> list[EntryRow]:
    """Return entries downwards, from the one before `below` (or the end), not beyond `down_to`."""
    rows = await connection.fetch(
        f"SELECT sequence, {_ENVELOPE} FROM ("  # noqa: S608 - constants
        "  SELECT *, coalesce(sum(octet_length(payload)) OVER ("
        "    ORDER BY sequence DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
        "  ), 0) AS bytes_above FROM ("
        "    SELECT sequence, type, key_id, payload, signature FROM public.audit_entries"
        "    WHERE sequence >= $1 AND sequence <= $2"
        "    ORDER BY sequence DESC LIMIT $3"
        "  ) AS newest"
        f") AS bounded WHERE bytes_above < {BATCH_BYTES} ORDER BY sequence DESC",
        down_to,
        MAX_SEQUENCE if below is None else below - 1,
        at_most,
    )
    return [EntryRow(int(row["sequence"]), envelope_of_form(row)) for row in rows]


async def fetch_entries_at(
    connection: DatabaseConnection, places: Sequence[Place]
) -> Mapping[Place, StoredStatement]:
    """Return the entries that are at these places of the chain, and have their hashes."""
    if not places:
        return {}
    rows = await connection.fetch(
        f"SELECT sequence, {_ENVELOPE} FROM public.audit_entries"  # noqa: S608 - constants
        " WHERE sequence = ANY ($1)",
        [place.sequence for place in places],
    )
    found = {row["sequence"]: envelope_of_form(row) for row in rows}
    return {
        place: stored
        for place in places
        if (stored := found.get(place.sequence)) is not None and entry_hash(stored) == place.hash
    }


async def fetch_checkpoint(connection: DatabaseConnection) -> StoredCheckpoint | None:
    """Return the checkpoint, without heads where they are longer than any are."""
    rows = await connection.fetch(
        f"SELECT {_ENVELOPE},"  # noqa: S608 - constants
        f" {bounded_column('heads', 'heads', MAX_HEADS_BYTES)}"
        " FROM public.audit_checkpoint",
    )
    stored = envelope_of_form(rows[0]) if rows else None
    if stored is None or not isinstance(heads := rows[0]["heads"], bytes):
        return None
    return StoredCheckpoint(stored, heads)


async def put_checkpoint(connection: DatabaseConnection, checkpoint: StoredCheckpoint) -> None:
    """Write the checkpoint in place of the one before."""
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
