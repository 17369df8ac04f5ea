"""The approved connections as the database has them now, for a command that runs once.

Rows are verified as by a facade that serves. What that one remembers in its state folder is not
looked at: the folder is its own, and its file is locked as long as it runs. So a command that is
shown an old but consistent database speaks of the old approvals; it can show a secret to no other
registry than an approver saw beside it, for the seal binds that.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from facade.statements.database import CONNECT_TIMEOUT_SECONDS, DATABASE_FAILURES, connect_database
from facade.statements.snapshot import RefusedRow, Snapshot, StatementRow, VerifiedRow, verify_row
from shared.postgres.connect import reason_of
from shared.postgres.connection_parameters import ConnectionParameters
from shared.safe_message import SafeMessage
from shared.statement import StoredStatement

_QUERY: Final = (
    "SELECT subject, type, key_id, payload, signature FROM facade_statements"
    " WHERE subject LIKE 'connection/%'"
)


class DatabaseUnreadableError(SafeMessage, Exception):
    """The database does not give the statements; the message says no more than an error's name."""


@frozen
class Approvals:
    """What verified rows say, and the rows that are not believed."""

    snapshot: Snapshot
    refused: tuple[RefusedRow, ...]


async def read_approvals(
    database: ConnectionParameters, public_keys: Mapping[str, Ed25519PublicKey]
) -> Approvals:
    """Return the approvals; raise `DatabaseUnreadableError`."""
    rows = await _read_rows(database)
    candidates = await asyncio.to_thread(lambda: [verify_row(row, public_keys) for row in rows])
    snapshot = Snapshot()
    for candidate in candidates:
        if isinstance(candidate, VerifiedRow):
            snapshot.apply(candidate)
    return Approvals(snapshot, tuple(each for each in candidates if isinstance(each, RefusedRow)))


async def _read_rows(database: ConnectionParameters) -> list[StatementRow]:
    try:
        connection = await connect_database(database)
        try:
            records = await connection.fetch(_QUERY)
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_SECONDS)
    except DATABASE_FAILURES as error:
        message = f"the database cannot be read: {reason_of(error)}"
        raise DatabaseUnreadableError(message) from None
    return [StatementRow(record[0], StoredStatement(*record[1:])) for record in records]
