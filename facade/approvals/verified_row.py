"""A row of the facade's view or of the state file, and whether it is believed. Pure.

Only a row whose signature, type, subject and parts agree is believed; of any other it is known why.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from facade.approvals.refused_rows import WhyRefused
from shared.approved_connection import ApprovedConnection, approved_connection
from shared.outside_bytes import Party, reads_bytes_of
from shared.statement import (
    MAX_GENERATION,
    ConnectionApproval,
    ConnectionRevocation,
    DeviceLifting,
    DeviceRevocation,
    Statement,
    StatementRefusedError,
    StoredStatement,
    verify,
)

TOO_FAR_AHEAD: Final = "of a time more than a year ahead of this clock"
FACADE_STATEMENTS: Final = (
    ConnectionApproval | ConnectionRevocation | DeviceRevocation | DeviceLifting
)


@frozen
class StatementRow:
    """A row of the facade's view. `subject` is only a claim, which is checked."""

    subject: str
    stored: StoredStatement


@frozen
class VerifiedRow:
    """A row whose signature, type and parts were verified. Making one takes about 0.2 ms."""

    row: StatementRow
    statement: Statement
    connection: ApprovedConnection | None
    identity: bytes = b""  # of the row's content


@frozen
class RefusedRow:
    """A row that is not believed."""

    row: StatementRow
    reason: str
    why: WhyRefused
    identity: bytes = b"not read"  # of the row's content
    revokes: bool = False  # a signed revocation nevertheless: nobody gains by it


@reads_bytes_of(Party.DATABASE, Party.FILE)
def verify_row(
    row: StatementRow,
    public_keys: Mapping[str, Ed25519PublicKey],
    highest_generation: int = MAX_GENERATION,
) -> VerifiedRow | RefusedRow:
    """Return the verified row, or why it is refused: a higher generation, too.

    Safe in a thread, and for one.
    """
    identity = _identity(row.stored)
    try:
        statement = verify(row.stored, public_keys)
        if not isinstance(statement, FACADE_STATEMENTS):
            reason = "a statement of this type is not for the facade"
            return RefusedRow(row, reason, WhyRefused.UNKNOWN_TYPE, identity)
        if statement.subject != row.subject:
            reason = "the statement is about another subject"
            return RefusedRow(row, reason, WhyRefused.OTHER_SUBJECT, identity)
        if statement.generation > highest_generation:
            revokes = isinstance(statement, DeviceRevocation)
            return RefusedRow(row, TOO_FAR_AHEAD, WhyRefused.AHEAD, identity, revokes)
        connection = (
            approved_connection(statement) if isinstance(statement, ConnectionApproval) else None
        )
    except StatementRefusedError as error:
        return RefusedRow(row, str(error), WhyRefused.of(error), identity)
    except Exception as error:  # noqa: BLE001 - of one row, and no other row's failure
        reason = f"it cannot be verified ({type(error).__name__})"
        return RefusedRow(row, reason, WhyRefused.MALFORMED, identity)
    return VerifiedRow(row, statement, connection, identity)


def _identity(stored: StoredStatement) -> bytes:
    return hashlib.sha256(
        b"\0".join((stored.type.encode(), stored.key_id.encode(), stored.signature, stored.payload))
    ).digest()
