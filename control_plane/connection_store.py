"""The SQL of connections and their revisions: rows in, rows out, nothing believed."""

import heapq
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import orjson

from control_plane.connection_filter import ConnectionFilter
from control_plane.database import DatabaseConnection
from control_plane.envelope_columns import bounded_column, envelope_columns, envelope_of_form
from control_plane.proofs import Proofs
from control_plane.query_reader import Place
from control_plane.stored_connection import StoredConnection, StoredRevision
from shared.canonical_json import MAX_DOCUMENT_BYTES
from shared.statement import connection_subject

# A row without such a time has no place in the order; it is shown among those that have no row.
_HAS_PLACE: Final = "c.created_at BETWEEN '2000-01-01Z' AND '9000-01-01Z'"
# The row, its statement, and the two revisions that the row points at.
_SELECT: Final = f"""
SELECT c.id, c.host, c.repository_prefix, c.description,
       CASE WHEN {_HAS_PLACE} THEN c.created_at END AS made_at,
       c.revoked_at IS NOT NULL AS is_marked_revoked,
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


def _says(column: str, parameter: str) -> str:
    """Return the condition that a column of a bounded length has the bytes in it."""
    bounded = f"CASE WHEN octet_length({column}) <= {MAX_DOCUMENT_BYTES} THEN {column} END"
    return f"position({parameter}::bytea IN {bounded}) > 0"


# By the column, or by what is signed, or whose fingerprint is: an approval holds its document as a
# JSON text in JSON. Which of them holds is for the caller to see.
_OF_HOST: Final = f"""($3::text IS NULL OR c.host = $3 OR {_says("s.payload", "$4")}
  OR {_says("a.document", "$5")} OR {_says("d.document", "$5")})"""
_WANTED: Final = f"WHERE {_HAS_PLACE} AND starts_with(c.id::text, $2) AND {_OF_HOST}"
_IDS: Final = f"SELECT c.id FROM public.connections c WHERE {_HAS_PLACE}"  # noqa: S608 - constants
_NO_ROW: Final = f"""
SELECT lost.id, {envelope_columns("s", "statement_")}
FROM unnest($1::uuid[]) AS lost (id)
LEFT JOIN public.statements s ON s.subject = 'connection/' || lost.id::text
ORDER BY lost.id
"""  # noqa: S608 - constants


async def fetch_connection(
    proofs: Proofs, connection_id: UUID, *, lock: bool = False
) -> StoredConnection | None:
    """Return a connection; with `lock`, its row until the transaction ends."""
    row = await proofs.connection.fetchrow(
        f"{_SELECT} WHERE c.id = $1" + (" FOR UPDATE OF c" if lock else ""), connection_id
    )
    return (await _connections([row], proofs))[0] if row else None


async def fetch_connections(
    proofs: Proofs, wanted: ConnectionFilter, *, after: Place | None, limit: int
) -> list[StoredConnection]:
    """Return connections that have a row, in the order of their making, from the one after `after`.

    Of a host are those whose row, statement or revisions say so, whatever the others say.
    """
    host = str(wanted.host) if wanted.host else None
    told = orjson.dumps({"host": host})[1:-1]
    condition = " AND (c.created_at, c.id) > ($6, $7)" if after else ""
    rows = await proofs.connection.fetch(
        f"{_SELECT}{_WANTED}{condition} ORDER BY c.created_at, c.id LIMIT $1",
        limit,
        wanted.id_beginning or "",
        host,
        orjson.dumps(told.decode())[1:-1],
        told,
        *(after or ()),
    )
    return await _connections(rows, proofs)


async def fetch_connections_without_row(
    proofs: Proofs, wanted: ConnectionFilter, *, after: UUID | None, limit: int
) -> list[StoredConnection]:
    """Return connections of the signed log that have no row, by their ids, after `after`."""
    rows = await proofs.connection.fetch(_IDS)
    logged = {UUID(subject.partition("/")[2]) for subject in proofs.log.connections()}
    lost = (
        each
        for each in logged - {row["id"] for row in rows}
        if str(each).startswith(wanted.id_beginning or "") and (after is None or each > after)
    )
    found = await proofs.connection.fetch(_NO_ROW, heapq.nsmallest(limit, lost))
    return await _connections(found, proofs)


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
            host=row.get("host", ""),
            repository_prefix=row.get("repository_prefix", ""),
            description=row.get("description", ""),
            made_at=row.get("made_at"),
            is_marked_revoked=row.get("is_marked_revoked", False),
            evidence=evidences[subject],
            newest=newest[subject],
            approved=_revision(row, "approved_"),
            draft=_revision(row, "draft_"),
        )
        for subject, row in zip(statements, rows, strict=True)
    ]


def _revision(row: asyncpg.Record, prefix: str) -> StoredRevision | None:
    number = row.get(f"{prefix}revision")
    document, sealed_secret = row.get(f"{prefix}document"), row.get(f"{prefix}sealed_secret")
    if number is None or not isinstance(document, bytes):
        return None  # there is none, or it has not the form of one
    return StoredRevision(number, document, sealed_secret)
