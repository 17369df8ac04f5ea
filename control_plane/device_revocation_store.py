"""The SQL of device revocations: rows in, rows out, nothing believed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from control_plane.database import DatabaseConnection
from control_plane.device_revocation_state import StoredDeviceRevocation
from control_plane.envelope_columns import envelope_columns, envelope_of_form
from control_plane.proofs import Proofs

_SELECT: Final = f"""
SELECT r.id, r.subject, r.revoked_at,
       {envelope_columns("s", "statement_")}
FROM public.device_revocations r
LEFT JOIN public.statements s ON s.subject = r.subject
"""  # noqa: S608 - constants


async def fetch_device_revocation(
    proofs: Proofs, revocation_id: UUID
) -> StoredDeviceRevocation | None:
    """Return the row of an id."""
    row = await proofs.connection.fetchrow(f"{_SELECT} WHERE r.id = $1", revocation_id)
    return (await _stored([row], proofs))[0] if row else None


async def fetch_device_revocation_of(proofs: Proofs, subject: str) -> StoredDeviceRevocation | None:
    """Return the row of a subject."""
    row = await proofs.connection.fetchrow(f"{_SELECT} WHERE r.subject = $1", subject)
    return (await _stored([row], proofs))[0] if row else None


async def fetch_device_revocations(
    proofs: Proofs,
    id_beginning: str,
    subject_beginning: str,
    *,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[StoredDeviceRevocation]:
    """Return what was not lifted in the order of its making, from the one after `after`."""
    condition = " AND (r.revoked_at, r.id) > ($4, $5)" if after else ""
    rows = await proofs.connection.fetch(
        f"{_SELECT} WHERE r.lifted_at IS NULL AND starts_with(r.id::text, $1)"
        f" AND starts_with(r.subject, $2){condition} ORDER BY r.revoked_at, r.id LIMIT $3",
        id_beginning,
        subject_beginning,
        limit,
        *(after or ()),
    )
    return await _stored(rows, proofs)


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


async def _stored(rows: Sequence[asyncpg.Record], proofs: Proofs) -> list[StoredDeviceRevocation]:
    statements = {row["subject"]: envelope_of_form(row, "statement_") for row in rows}
    evidences = await proofs.evidences(statements)
    return [
        StoredDeviceRevocation(
            id=row["id"],
            subject=row["subject"],
            revoked_at=row["revoked_at"],
            evidence=evidences[row["subject"]],
        )
        for row in rows
    ]
