"""The approved connections as the database has them now, for a command that runs once.

Rows are verified as in a facade that serves. The state folder of that facade is not looked at: it
is the facade's own, and its file is locked while the facade runs. So if the database is old but
consistent, a command goes by the old approvals. Even then it can show a secret only to the registry
that an approver saw with it, because the seal binds that.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing
from typing import Final

import asyncpg
from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from facade.approvals.database import (
    CONNECT_TIMEOUT_SECONDS,
    DATABASE_FAILURES,
    connect_database,
    unreadable,
)
from facade.approvals.snapshot import Snapshot
from facade.approvals.statement_rows import (
    BATCH_ROWS,
    FoundRows,
    UnreadableRowsError,
    found_rows,
    signature_pages,
)
from facade.approvals.verified_row import RefusedRow, VerifiedRow, verify_row
from facade.errors import CommandError
from shared.generation_bound import highest_generation_at
from shared.postgres.connection_parameters import ConnectionParameters
from shared.safe_message import SafeMessage

MAX_CONNECTIONS: Final = 1_000_000  # a command reads all of them, some 100 bytes each at first
MAX_TOLD_REFUSALS: Final = 100  # a command tells of no more rows than that
_CONNECTION: Final = "connection/"
_SUBJECT_CHARACTERS: Final = 47  # with a UUID behind it


class DatabaseUnreadableError(SafeMessage, CommandError):
    """The database does not give the statements. The message has only an error's name."""


@frozen
class Approvals:
    """What the verified rows say, and the rows that are not believed."""

    snapshot: Snapshot
    refused: tuple[RefusedRow, ...]


async def read_approvals(
    database: ConnectionParameters,
    public_keys: Mapping[str, Ed25519PublicKey],
    *,
    also: Collection[str] = (),
) -> Approvals:
    """Return the approvals, and what revokes the subjects of `also`.

    Raises `DatabaseUnreadableError`.
    """
    snapshot, refused = Snapshot(), list[RefusedRow]()
    async for found in _found(database, frozenset(also)):
        candidates = await asyncio.to_thread(_verified, found, public_keys)
        for candidate in candidates:
            if isinstance(candidate, VerifiedRow) or candidate.row.subject in also:
                snapshot.apply(candidate)
            elif len(refused) < MAX_TOLD_REFUSALS:
                refused.append(candidate)
    return Approvals(snapshot, tuple(refused))


def _verified(
    found: FoundRows, public_keys: Mapping[str, Ed25519PublicKey]
) -> list[VerifiedRow | RefusedRow]:
    highest = highest_generation_at(time.time_ns() // 1_000_000)
    return [*(verify_row(row, public_keys, highest) for row in found.rows), *found.refused]


async def _found(database: ConnectionParameters, also: frozenset[str]) -> AsyncIterator[FoundRows]:
    try:
        connection = await connect_database(database)
        try:
            subjects = await _subjects(connection, also)
            for start in range(0, len(subjects), BATCH_ROWS):
                async for found in found_rows(connection, subjects[start : start + BATCH_ROWS]):
                    yield found
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_SECONDS)
    except DATABASE_FAILURES as error:
        raise DatabaseUnreadableError(unreadable(error)) from None


async def _subjects(connection: asyncpg.Connection, also: frozenset[str]) -> list[str]:
    """Return the subjects of connections, and of `also`; raise one of `DATABASE_FAILURES`."""
    subjects = list[str]()
    async with aclosing(signature_pages(connection)) as pages:
        async for page in pages:
            found = (subject for subject, _ in page.signatures)
            subjects += [each for each in found if _is_connections(each) or each in also]
            if len(subjects) > MAX_CONNECTIONS:
                raise UnreadableRowsError("the database has more rows than a command reads")
    return subjects


def _is_connections(subject: str) -> bool:
    return subject.startswith(_CONNECTION) and len(subject) == _SUBJECT_CHARACTERS
