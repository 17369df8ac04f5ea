"""The SQL of device revocations: rows in, rows out, nothing believed."""

from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from control_plane.database import DatabaseConnection
from control_plane.device_revocation_state import StoredDeviceRevocation
from control_plane.statement_store import envelope

# One statement, so one snapshot: the row, the statement, the newest act that made one.
_SELECT: Final = """
SELECT r.id, r.subject, r.revoked_at,
       s.type AS statement_type, s.key_id AS statement_key_id,
       s.payload AS statement_payload, s.signature AS statement_signature,
       m.type AS made_type, m.key_id AS made_key_id,
       m.payload AS made_payload, m.signature AS made_signature
FROM public.device_revocations r
LEFT JOIN public.statements s ON s.subject = r.subject
LEFT JOIN LATERAL (
    SELECT type, key_id, payload, signature FROM public.audit_entries
    WHERE about = r.subject AND about_generation IS NOT NULL
    ORDER BY sequence DESC LIMIT 1
) m ON true
"""


async def fetch_device_revocation(
    connection: DatabaseConnection, revocation_id: UUID
) -> StoredDeviceRevocation | None:
    """Return the row of an id."""
    row = await connection.fetchrow(f"{_SELECT} WHERE r.id = $1", revocation_id)
    return _stored(row) if row else None


async def fetch_device_revocation_of(
    connection: DatabaseConnection, subject: str
) -> StoredDeviceRevocation | None:
    """Return the row of a subject."""
    row = await connection.fetchrow(f"{_SELECT} WHERE r.subject = $1", subject)
    return _stored(row) if row else None


async def fetch_device_revocations(
    connection: DatabaseConnection,
    id_beginning: str,
    *,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[StoredDeviceRevocation]:
    """Return what was not lifted in the order of its making, from the one after `after`."""
    condition = " AND (r.revoked_at, r.id) > ($3, $4)" if after else ""
    rows = await connection.fetch(
        f"{_SELECT} WHERE r.lifted_at IS NULL AND starts_with(r.id::text, $1){condition}"
        " ORDER BY r.revoked_at, r.id LIMIT $2",
        id_beginning,
        limit,
        *(after or ()),
    )
    return [_stored(row) for row in rows]


async def put_device_revocation(
    connection: DatabaseConnection, *, subject: str, revocation_id: UUID, revoked_at: datetime
) -> None:
    """Make this the subject's revocation that is listed."""
    await connection.execute(
        "INSERT INTO public.device_revocations (subject, id, revoked_at) VALUES ($1, $2, $3)"
        " ON CONFLICT (subject) DO UPDATE"
        " SET id = excluded.id, revoked_at = excluded.revoked_at, lifted_at = NULL",
        subject,
        revocation_id,
        revoked_at,
    )


async def set_lifted(connection: DatabaseConnection, revocation_id: UUID, at: datetime) -> None:
    """List the revocation no longer."""
    await connection.execute(
        "UPDATE public.device_revocations SET lifted_at = $2 WHERE id = $1", revocation_id, at
    )


def _stored(row: asyncpg.Record) -> StoredDeviceRevocation:
    return StoredDeviceRevocation(
        id=row["id"],
        subject=row["subject"],
        revoked_at=row["revoked_at"],
        statement=envelope(row, "statement_"),
        made_entry=envelope(row, "made_"),
    )
