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
from shared.canonical_json import MAX_DOCUMENT_BYTES

# What has not such a time has no place in the order.
_IS_LISTED: Final = "(r.lifted_at IS NULL AND r.revoked_at BETWEEN '2000-01-01Z' AND '9000-01-01Z')"
# A row may have another id than the signed revocation.
_HAS_ID: Final = (
    "(starts_with(r.id::text, $2)"
    " OR position(convert_to($2, 'UTF8') IN CASE WHEN octet_length(s.payload) <="
    f" {MAX_DOCUMENT_BYTES} THEN s.payload END) > 0)"
)
_SELECT: Final = f"""
SELECT r.id, r.subject, CASE WHEN {_IS_LISTED} THEN r.revoked_at END AS made_at,
       {envelope_columns("s", "statement_")}
FROM public.device_revocations r
LEFT JOIN public.statements s ON s.subject = r.subject
"""  # noqa: S608 - constants

_LISTED_SUBJECTS: Final = f"""
SELECT r.subject FROM public.device_revocations r
WHERE {_IS_LISTED} AND starts_with(r.subject, $1)
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
        f"{_SELECT} WHERE {_IS_LISTED} AND starts_with(r.subject, $1) AND {_HAS_ID}{condition}"
        " ORDER BY r.revoked_at, r.id LIMIT $3",
        subject_beginning,
        id_beginning,
        limit,
        *(after or ()),
    )
    return await _stored(rows, proofs)


async def fetch_listed_subjects(connection: DatabaseConnection, subject_beginning: str) -> set[str]:
    """Return the subjects that begin so and are listed by their rows."""
    rows = await connection.fetch(_LISTED_SUBJECTS, subject_beginning)
    return {row["subject"] for row in rows}


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
            made_at=row["made_at"],
            evidence=evidences[row["subject"]],
        )
        for row in rows
    ]
