"""The SQL of connections and their revisions: rows in, rows out, nothing believed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from control_plane.connection_filter import ConnectionFilter
from control_plane.database import DatabaseConnection
from control_plane.envelope_columns import bounded_column, envelope_columns, envelope_of_form
from control_plane.proofs import Proofs
from control_plane.stored_connection import StoredConnection, StoredRevision
from shared.canonical_json import MAX_DOCUMENT_BYTES
from shared.statement import connection_subject

# The row, its statement, and the two revisions that the row points at.
_SELECT: Final = f"""
SELECT c.id, c.host, c.repository_prefix, c.description, c.created_at, c.revoked_at,
       {envelope_columns("s", "statement_")},
       a.revision AS approved_revision,
       {bounded_column("a.document", "approved_document", MAX_DOCUMENT_BYTES)},
       {bounded_column("a.sealed_secret", "approved_sealed_secret", MAX_DOCUMENT_BYTES)},
       d.revision AS draft_revision,
       {bounded_column("d.document", "draft_document", MAX_DOCUMENT_BYTES)},
       {bounded_column("d.sealed_secret", "draft_sealed_secret", MAX_DOCUMENT_BYTES)}
FROM public.connections c
LEFT JOIN public.statements s ON s.subject = 'connection/' || c.id::text
LEFT JOIN public.connection_revisions a
       ON a.connection_id = c.id AND a.revision = c.approved_revision
LEFT JOIN public.connection_revisions d
       ON d.connection_id = c.id AND d.revision = c.draft_revision
"""  # noqa: S608 - constants
_WANTED: Final = """
WHERE ($2::text IS NULL OR c.host = $2)
  AND ($3::text IS NULL OR c.repository_prefix = $3)
  AND ($4::text IS NULL OR starts_with(c.id::text, $4))
"""


async def fetch_connection(
    proofs: Proofs, connection_id: UUID, *, lock: bool = False
) -> StoredConnection | None:
    """Return a connection; with `lock`, its row until the transaction ends."""
    row = await proofs.connection.fetchrow(
        f"{_SELECT} WHERE c.id = $1" + (" FOR UPDATE OF c" if lock else ""), connection_id
    )
    return (await _connections([row], proofs))[0] if row else None


async def fetch_connections(
    proofs: Proofs,
    wanted: ConnectionFilter,
    *,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[StoredConnection]:
    """Return connections in the order of their making, from the one after `after`."""
    condition = " AND (c.created_at, c.id) > ($5, $6)" if after else ""
    rows = await proofs.connection.fetch(
        f"{_SELECT}{_WANTED}{condition} ORDER BY c.created_at, c.id LIMIT $1",
        limit,
        str(wanted.host) if wanted.host else None,
        wanted.repository_prefix,
        wanted.id_beginning,
        *(after or ()),
    )
    return await _connections(rows, proofs)


async def insert_connection(
    connection: DatabaseConnection,
    *,
    connection_id: UUID,
    host: str,
    repository_prefix: str,
    description: str,
    created_at: datetime,
) -> UUID | None:
    """Take a place, unless a connection that is not revoked has it: return that one's id."""
    is_taken = not await connection.fetchval(
        "INSERT INTO public.connections"
        " (id, host, repository_prefix, description, created_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (host, repository_prefix) WHERE revoked_at IS NULL DO NOTHING"
        " RETURNING true",
        connection_id,
        host,
        repository_prefix,
        description,
        created_at,
    )
    if not is_taken:
        return None
    # Whoever takes or frees a place holds the act lock, as we do.
    has_it: UUID = await connection.fetchval(
        "SELECT id FROM public.connections"
        " WHERE host = $1 AND repository_prefix = $2 AND revoked_at IS NULL",
        host,
        repository_prefix,
    )
    return has_it


async def set_description(
    connection: DatabaseConnection, connection_id: UUID, description: str
) -> None:
    """Describe the connection."""
    await connection.execute(
        "UPDATE public.connections SET description = $2 WHERE id = $1", connection_id, description
    )


async def set_revoked(connection: DatabaseConnection, connection_id: UUID, at: datetime) -> None:
    """Free the connection's place."""
    await connection.execute(
        "UPDATE public.connections SET revoked_at = $2 WHERE id = $1", connection_id, at
    )


async def _connections(rows: Sequence[asyncpg.Record], proofs: Proofs) -> list[StoredConnection]:
    statements = {
        connection_subject(row["id"]): envelope_of_form(row, "statement_") for row in rows
    }
    evidences = await proofs.evidences(statements)
    newest = await proofs.upon_revisions(statements.keys())
    return [
        StoredConnection(
            id=row["id"],
            host=row["host"],
            repository_prefix=row["repository_prefix"],
            description=row["description"],
            created_at=row["created_at"],
            revoked_at=row["revoked_at"],
            evidence=evidences[subject],
            newest=newest[subject],
            approved=_revision(row, "approved_"),
            draft=_revision(row, "draft_"),
        )
        for subject, row in zip(statements, rows, strict=True)
    ]


def _revision(row: asyncpg.Record, prefix: str) -> StoredRevision | None:
    number = row[f"{prefix}revision"]
    document, sealed_secret = row[f"{prefix}document"], row[f"{prefix}sealed_secret"]
    if number is None or not isinstance(document, bytes):
        return None  # there is none, or it has not the form of one
    return StoredRevision(number, document, sealed_secret)
