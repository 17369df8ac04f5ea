"""Comparing every column of every table with the signed log, for `audit verify`."""

from collections.abc import AsyncIterator, Iterator
from typing import Final

import asyncpg

from control_plane.audit.expected_rows import ExpectedRows, columns_of, differences
from control_plane.audit.verifying import Verifying
from control_plane.connections.state import place_of
from control_plane.database.database import DatabaseConnection
from control_plane.database.one_trip import Row
from control_plane.proof.chain_store import fetch_checkpoint
from control_plane.proof.checkpoint import OlderCheckpointError, log_at
from control_plane.proof.envelope_columns import envelope_columns
from control_plane.proof.signed_log import Place
from control_plane.proof.signer import Verifier
from shared.approved_connection import require_secret_of_document
from shared.canonical_json import InvalidDocumentError
from shared.connection import ConnectionDocument, fingerprint
from shared.statement import AuditEntry, StatementRefusedError, connection_subject

FETCHED_ROWS: Final = 1000  # in a round trip; a few such batches are in memory at once
ENTRY_COLUMNS: Final = ("at", "actor", "action", "about", "about_generation")
_ENTRIES: Final = f"""
SELECT sequence, {envelope_columns()}, at, actor, action, about, about_generation
FROM public.audit_entries ORDER BY sequence
"""  # noqa: S608 - constants
_STATEMENTS: Final = f"""
SELECT subject, {envelope_columns()}, generation
FROM public.statements ORDER BY subject
"""  # noqa: S608 - constants
_CONNECTIONS: Final = """
SELECT id, host, repository_prefix, description, created_at, revoked_at, approved_revision,
       draft_revision
FROM public.connections
"""
_REVISIONS: Final = """
SELECT connection_id, revision, document, sealed_secret, made_by, made_at, audit_sequence
FROM public.connection_revisions ORDER BY connection_id, revision
"""
_DEVICES: Final = "SELECT subject, id::text, revoked_at, lifted_at FROM public.device_revocations"


async def batches_of(
    connection: DatabaseConnection, query: str
) -> AsyncIterator[list[asyncpg.Record]]:
    """Yield all rows of a query, in batches of thousands."""
    cursor = await connection.cursor(query)
    while rows := await cursor.fetch(FETCHED_ROWS):
        yield rows


async def all_rows(connection: DatabaseConnection, query: str) -> AsyncIterator[asyncpg.Record]:
    """Yield every row of a query."""
    async for rows in batches_of(connection, query):
        for row in rows:
            yield row


def entry_rows(connection: DatabaseConnection) -> AsyncIterator[list[asyncpg.Record]]:
    """Yield the rows of the audit log from its beginning, with every column."""
    return batches_of(connection, _ENTRIES)


def entry_faults(row: Row, entry: AuditEntry) -> Iterator[str]:
    """Yield which columns beside an entry differ from what is signed."""
    signed = {name: getattr(entry, name) for name in ENTRY_COLUMNS}
    return differences(f"entry {entry.generation}", row, signed)


async def statements(
    connection: DatabaseConnection, verifying: Verifying
) -> AsyncIterator[tuple[str, int | None, str | None]]:
    """Yield each row's subject, its generation (None if it is not believed), and what is wrong."""
    async for each in verifying.rows(batches_of(connection, _STATEMENTS)):
        subject = each.row["subject"]
        if each.problem or each.subject != subject:
            yield subject, None, None
            continue
        faults = [*differences(subject, each.row, {"generation": each.generation})]
        yield subject, each.generation, faults[0] if faults else None


async def row_faults(connection: DatabaseConnection, expected: ExpectedRows) -> AsyncIterator[str]:
    """Yield what is wrong with the rows of connections, revisions and device revocations."""
    places = dict[str, tuple[str, str]]()  # as the documents say
    async for fault in _revision_faults(connection, expected, places):
        yield fault
    connections = {
        connection_subject(row["id"]): row async for row in all_rows(connection, _CONNECTIONS)
    }
    for subject in sorted(connections.keys() | expected.connections.keys()):
        wanted = columns_of(expected.connections.get(subject))
        if wanted is not None and subject in places:
            wanted |= dict(zip(("host", "repository_prefix"), places[subject], strict=True))
        if wanted is not None and subject in expected.descriptions:
            wanted["description"] = expected.descriptions[subject]
        for fault in differences(subject, connections.get(subject), wanted):
            yield fault
    devices = {row["subject"]: row async for row in all_rows(connection, _DEVICES)}
    for subject in sorted(devices.keys() | expected.devices.keys()):
        wanted = columns_of(expected.devices.get(subject))
        for fault in differences(f"{subject} in the list", devices.get(subject), wanted):
            yield fault


async def _revision_faults(
    connection: DatabaseConnection, expected: ExpectedRows, places: dict[str, tuple[str, str]]
) -> AsyncIterator[str]:
    """Yield what is wrong with the revisions; note the place in each connection's document."""
    seen = set[tuple[str, int]]()
    async for row in all_rows(connection, _REVISIONS):
        subject, number = connection_subject(row["connection_id"]), row["revision"]
        seen.add((subject, number))
        place, document = f"{subject} revision {number}", _document(row)
        if document is not None:
            places.setdefault(subject, place_of(document))
        actual = {**dict(row), "fingerprint": fingerprint(row["document"])}
        wanted = columns_of(expected.revisions.get((subject, number)))
        for fault in differences(place, actual, wanted):
            yield fault
        if not _has_its_secret(row, document):
            yield f"{place}: the sealed secret is not that of the document"
    for subject, number in sorted(expected.revisions.keys() - seen):
        yield f"{subject} revision {number}: its row has vanished"


def _document(row: Row) -> ConnectionDocument | None:
    try:
        return ConnectionDocument.from_bytes(row["document"])
    except InvalidDocumentError:
        return None  # of a later version of this program; or changed, as its fingerprint is then


def _has_its_secret(row: Row, document: ConnectionDocument | None) -> bool:
    try:
        if document is not None:
            require_secret_of_document(document, row["sealed_secret"])
    except StatementRefusedError:
        return False
    return True


async def checkpoint_place(
    connection: DatabaseConnection, verifier: Verifier
) -> tuple[Place | None, str | None]:
    """Return which entry the checkpoint names, or what is wrong with it; neither without one."""
    if not await connection.fetchval("SELECT true FROM public.audit_checkpoint"):
        return None, None
    checkpoint = await fetch_checkpoint(connection)
    if checkpoint is None:
        return None, "checkpoint: it has not the form of one"
    try:
        return log_at(checkpoint, verifier).end, None
    except OlderCheckpointError as older:
        return older.end, None
    except StatementRefusedError as error:
        return None, f"checkpoint: not believed: {error}"
