"""The SQL of revisions: they are added, and connections point at them; they never change."""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from control_plane.connections.revision import StoredRevision
from control_plane.database.one_trip import Part, Row, RowChange
from control_plane.proof.envelope_columns import bounded_column
from shared.canonical_json import MAX_DOCUMENT_BYTES


def highest_revision(connection_id: UUID) -> Part:
    """Return the read of the number of the connection's last revision."""
    return Part(
        ("highest",),
        "SELECT coalesce(max(revision), 0) FROM public.connection_revisions"
        " WHERE connection_id = $1",
        (connection_id,),
    )


def revision_documents(connection_id: UUID, numbers: Collection[int]) -> Part:
    """Return the read of the documents of a connection's revisions."""
    document = bounded_column("document", "document", MAX_DOCUMENT_BYTES)
    return Part(
        ("revision", "document"),
        f"SELECT revision, {document} FROM public.connection_revisions"  # noqa: S608 - constants
        " WHERE connection_id = $1 AND revision::bigint = ANY ($2::bigint[])",
        (connection_id, sorted(numbers)),
    )


def documents_of(rows: Iterable[Row]) -> dict[int, bytes]:
    """Return the documents of such a read by their revisions' numbers."""
    return {row["revision"]: row["document"] for row in rows if isinstance(row["document"], bytes)}


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
