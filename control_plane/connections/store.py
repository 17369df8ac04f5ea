"""The SQL of connections and their revisions: rows in, rows out, nothing believed."""

import heapq
from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from control_plane.connections.filter import ConnectionFilter
from control_plane.connections.list_conditions import list_conditions
from control_plane.connections.revision import StoredRevision
from control_plane.connections.stored_connection import StoredConnection
from control_plane.database.one_trip import Part, Row, RowChange, fetch_parts
from control_plane.proof.belief import Evidence, LoggedEntry
from control_plane.proof.envelope_columns import (
    bounded_column,
    envelope_columns,
    envelope_names,
    envelope_of_form,
)
from control_plane.proof.proofs import Proofs
from control_plane.reading.query_reader import ListPlace
from shared.canonical_json import MAX_DOCUMENT_BYTES
from shared.statement import connection_subject

# A row without such a time has no place in the order; it is listed with those whose rows are gone.
_HAS_PLACE: Final = "c.created_at BETWEEN '2000-01-01Z' AND '9000-01-01Z'"
CONNECTIONS: Final = "connection/"  # how their subjects begin, before an id in its one form
_COLUMNS: Final = {
    "id": "c.id",
    "host": "c.host",
    "repository_prefix": "c.repository_prefix",
    "description": "c.description",
    "made_at": f"CASE WHEN {_HAS_PLACE} THEN c.created_at END",
    "is_marked_revoked": "(c.revoked_at IS NOT NULL)",
    "approved_revision": "a.revision",
    "approved_document": "a.document",
    "approved_sealed_secret": "a.sealed_secret",
    "draft_revision": "d.revision",
    "draft_document": "d.document",
    "draft_sealed_secret": "d.sealed_secret",
}
_LONG: Final = ("document", "sealed_secret")
_SELECTED: Final = ", ".join(
    bounded_column(column, name, MAX_DOCUMENT_BYTES)
    if name.endswith(_LONG)
    else f"{column} AS {name}"
    for name, column in _COLUMNS.items()
)
# The row, and the two revisions that it points at.
_FROM: Final = """
FROM public.connections c
LEFT JOIN public.connection_revisions a
       ON a.connection_id = c.id AND a.revision = c.approved_revision
LEFT JOIN public.connection_revisions d
       ON d.connection_id = c.id AND d.revision = c.draft_revision
"""


# A list reads statements with the rows: which subjects it has is not known before.
_LISTED: Final = f"""
SELECT {_SELECTED}, {envelope_columns("s", "statement_")} {_FROM}
LEFT JOIN public.statements s ON s.subject = 'connection/' || c.id::text
WHERE {_HAS_PLACE}
"""
_DRAFT_HAS_PLACE: Final = "d.made_at BETWEEN '2000-01-01Z' AND '9000-01-01Z'"
_WAITING: Final = f"""
SELECT {_SELECTED}, {envelope_columns("s", "statement_")}, d.made_at AS draft_made_at {_FROM}
LEFT JOIN public.statements s ON s.subject = 'connection/' || c.id::text
WHERE d.revision IS NOT NULL AND c.revoked_at IS NULL AND {_DRAFT_HAS_PLACE}
"""
# In one text: ten thousand rows would take the loop 30 ms to read.
_IDS: Final = (
    f"SELECT string_agg(c.id::text, ' ') AS ids FROM public.connections c WHERE {_HAS_PLACE}"  # noqa: S608 - constants
)


def connection_row(connection_id: UUID) -> Part:
    """Return the read of a connection's row; the statement is read by its subject."""
    select = f"SELECT {_SELECTED} {_FROM} WHERE c.id = $1"
    return Part(tuple(_COLUMNS), select, (connection_id,))


async def connection_of(rows: Sequence[Row], proofs: Proofs) -> StoredConnection | None:
    """Return the connection that was read, with what proves it."""
    if not rows:
        return None
    subject = connection_subject(rows[0]["id"])
    return _connection(rows[0], await proofs.evidence(subject), proofs)


async def connection_without_row(connection_id: UUID, proofs: Proofs) -> StoredConnection | None:
    """Return a connection that the signed log names, and whose row is gone."""
    subject = connection_subject(connection_id)
    if proofs.log.upon_revisions(subject) is None:
        return None
    return _lost(connection_id, await proofs.evidence(subject), proofs.upon_revisions(subject))


def connection_rows(
    wanted: ConnectionFilter,
    *,
    known_keys: Collection[str],
    after: ListPlace | None,
    limit: int,
) -> Part:
    """Return the read of the rows after `after` that may be wanted, in the order of their making.

    `known_keys`: the ids of those whose signatures are believed.
    """
    arguments: list[object] = [limit]

    def add(argument: object) -> str:
        arguments.append(argument)
        return f"${len(arguments)}"

    conditions = [*list_conditions(wanted, known_keys, add)]
    if after:
        conditions.append(f"(c.created_at, c.id) > ({add(after[0])}, {add(after[1])})")
    return Part(
        (*_COLUMNS, *envelope_names("statement_")),
        " AND ".join([_LISTED, *conditions]) + " ORDER BY c.created_at, c.id LIMIT $1",
        tuple(arguments),
    )


def waiting_rows(*, after: ListPlace | None, limit: int) -> Part:
    """Return the read of the rows beside which a draft waits, the oldest draft first."""
    condition = " AND (d.made_at, c.id) > ($2, $3)" if after else ""
    return Part(
        (*_COLUMNS, *envelope_names("statement_"), "draft_made_at"),
        f"{_WAITING}{condition} ORDER BY d.made_at, c.id LIMIT $1",
        (limit, *(after or ())),
    )


async def connections_without_row(
    proofs: Proofs, wanted: ConnectionFilter, *, after: UUID | None, limit: int
) -> list[StoredConnection]:
    """Return connections of the signed log whose rows are gone, in the order of their ids.

    The product deletes no row, so rows may be read later than the log.
    """
    ((row,),) = await fetch_parts(proofs.connection, [Part(("ids",), _IDS)])
    listed = {f"{CONNECTIONS}{each}" for each in (row["ids"] or "").split()}
    beginning = f"{CONNECTIONS}{wanted.id_beginning or ''}"
    place = connection_subject(after) if after else ""
    lost = (
        subject
        for subject in proofs.log.connections()
        if subject not in listed and subject.startswith(beginning) and subject > place
    )
    subjects = {
        subject: UUID(subject.removeprefix(CONNECTIONS)) for subject in heapq.nsmallest(limit, lost)
    }
    evidences = await proofs.evidences_of(subjects)
    await proofs.fetch_entries(subjects)
    return [
        _lost(connection_id, evidences[subject], proofs.upon_revisions(subject))
        for subject, connection_id in subjects.items()
    ]


async def connections_of(rows: Sequence[Row], proofs: Proofs) -> list[StoredConnection]:
    """Return the connections that were read, with what proves them."""
    statements = {
        connection_subject(row["id"]): envelope_of_form(row, "statement_") for row in rows
    }
    await proofs.fetch_entries(statements)
    evidences = await proofs.evidences(statements)
    return [
        _connection(row, evidences[subject], proofs)
        for subject, row in zip(statements, rows, strict=True)
    ]


def connection_at(host: str, repository_prefix: str) -> Part:
    """Return the read of the id of the connection that has this place and is not revoked."""
    return Part(
        ("id",),
        "SELECT id FROM public.connections"
        " WHERE host = $1 AND repository_prefix = $2 AND revoked_at IS NULL",
        (host, repository_prefix),
    )


def insert_connection(stored: StoredConnection) -> RowChange:
    """Return the change that inserts a connection with its draft, under the act lock."""
    return RowChange(
        "INSERT INTO public.connections"
        " (id, host, repository_prefix, description, created_at, draft_revision)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        (
            stored.id,
            stored.host,
            stored.repository_prefix,
            stored.description,
            stored.made_at,
            stored.draft.number if stored.draft else None,
        ),
    )


def update_connection(connection_id: UUID, **columns: object) -> RowChange:
    """Return the change of some columns of a connection's row."""
    told = ", ".join(f"{name} = ${at}" for at, name in enumerate(columns, start=2))
    return RowChange(
        f"UPDATE public.connections SET {told} WHERE id = $1",  # noqa: S608 - our own names
        (connection_id, *columns.values()),
    )


def _connection(row: Row, evidence: Evidence, proofs: Proofs) -> StoredConnection:
    return StoredConnection(
        id=row["id"],
        host=row["host"],
        repository_prefix=row["repository_prefix"],
        description=row["description"],
        made_at=row["made_at"],
        is_marked_revoked=row["is_marked_revoked"],
        evidence=evidence,
        newest=proofs.upon_revisions(evidence.subject),
        approved=_revision(row, "approved_"),
        draft=_revision(row, "draft_"),
        sent_back=proofs.sent_back(evidence.subject),
    )


def _lost(connection_id: UUID, evidence: Evidence, newest: LoggedEntry | None) -> StoredConnection:
    return StoredConnection(
        id=connection_id,
        host="",
        repository_prefix="",
        description="",
        made_at=None,
        is_marked_revoked=False,
        evidence=evidence,
        newest=newest,
        approved=None,
        draft=None,
    )


def _revision(row: Row, prefix: str) -> StoredRevision | None:
    number = row[f"{prefix}revision"]
    document, sealed_secret = row[f"{prefix}document"], row[f"{prefix}sealed_secret"]
    if number is None or not isinstance(document, bytes):
        return None  # there is none, or the columns do not have the form of one
    return StoredRevision(number, document, sealed_secret)
