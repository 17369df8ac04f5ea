"""The SQL of revisions: they are added and pointed at, never changed."""

from datetime import datetime
from uuid import UUID

from control_plane.database import DatabaseConnection
from control_plane.stored_connection import StoredRevision


async def next_revision(connection: DatabaseConnection, connection_id: UUID) -> int:
    """Return the number of the connection's next revision, from 1."""
    highest = await connection.fetchval(
        "SELECT max(revision) FROM public.connection_revisions WHERE connection_id = $1",
        connection_id,
    )
    return (highest or 0) + 1


async def insert_revision(
    connection: DatabaseConnection,
    connection_id: UUID,
    revision: StoredRevision,
    *,
    made_by: str,
    made_at: datetime,
    audit_sequence: int,
) -> None:
    """Store a revision that nothing points at yet."""
    await connection.execute(
        "INSERT INTO public.connection_revisions (connection_id, revision, document,"
        " sealed_secret, made_by, made_at, audit_sequence) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        connection_id,
        revision.number,
        revision.document,
        revision.sealed_secret,
        made_by,
        made_at,
        audit_sequence,
    )


async def set_draft(
    connection: DatabaseConnection, connection_id: UUID, revision: int | None
) -> None:
    """Make a revision the connection's draft, or let none wait."""
    await connection.execute(
        "UPDATE public.connections SET draft_revision = $2 WHERE id = $1", connection_id, revision
    )


async def set_approved(connection: DatabaseConnection, connection_id: UUID, revision: int) -> None:
    """Make a revision the approved one; no draft waits then."""
    await connection.execute(
        "UPDATE public.connections SET approved_revision = $2, draft_revision = NULL WHERE id = $1",
        connection_id,
        revision,
    )
