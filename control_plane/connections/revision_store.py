"""The SQL of revisions: they are added, and connections point at them; they never change."""

from datetime import datetime
from uuid import UUID

from control_plane.connections.revision import StoredRevision
from control_plane.database.one_trip import Part, RowChange


def highest_revision(connection_id: UUID) -> Part:
    """Return the read of the number of the connection's last revision."""
    return Part(
        ("highest",),
        "SELECT coalesce(max(revision), 0) FROM public.connection_revisions"
        " WHERE connection_id = $1",
        (connection_id,),
    )


def insert_revision(
    connection_id: UUID,
    revision: StoredRevision,
    *,
    made_by: str,
    made_at: datetime,
    audit_sequence: int,
) -> RowChange:
    """Return the change that stores a revision."""
    return RowChange(
        "INSERT INTO public.connection_revisions (connection_id, revision, document,"
        " sealed_secret, made_by, made_at, audit_sequence) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        (
            connection_id,
            revision.number,
            revision.document,
            revision.sealed_secret,
            made_by,
            made_at,
            audit_sequence,
        ),
    )
