"""What a remembered row says of itself, before it is verified. Pure.

Nothing is served by a claim, and nothing is allowed by one. It tells which row to verify before a
place is asked for, and how many connections there will be, if it is true. What a row that verifies
has claimed is true: the claim is read from the same bytes.

Rows from which there is nothing to gain by waiting have no claim: those that cannot verify here,
and the liftings, because a lifting that is not believed cuts a device off.
"""

from collections.abc import Container
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from attrs import frozen

from facade.approvals.connection_census import Counted, SealedTo, end_of
from facade.approvals.connection_index import WHOLE_HOST
from facade.approvals.verified_row import StatementRow
from shared.outside_bytes import Party, reads_bytes_of
from shared.statement import ConnectionApproval, ConnectionRevocation, DeviceRevocation

_ENDINGS: Final = frozenset({ConnectionRevocation.TYPE, DeviceRevocation.TYPE})
# Of values of other kinds and forms; orjson's own errors are `ValueError`s.
_UNREADABLE: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError)


@frozen
class ClaimedPlace:
    """Where a connection would serve."""

    host: str  # in the form in which it is signed
    prefix: str  # `WHOLE_HOST` if it has none


@frozen
class ServingClaim:
    """What an approval claims."""

    place: ClaimedPlace
    counted: Counted


@frozen
class EndClaim:
    """The row claims to end something: it serves nothing, true or not."""


RowClaim = ServingClaim | EndClaim


@reads_bytes_of(Party.FILE)
def claim_of(row: StatementRow, key_ids: Container[str]) -> RowClaim | None:
    """Return what a row of the state file claims; None if it is to be verified at once."""
    stored = row.stored
    if stored.key_id not in key_ids:
        return None
    if stored.type in _ENDINGS:
        return EndClaim()
    if stored.type != ConnectionApproval.TYPE:
        return None
    try:
        approval = orjson.loads(stored.payload)
        return _claim(orjson.loads(approval["document"]), approval.get("expires_at"))
    except _UNREADABLE:
        return None


def _claim(document: dict[str, Any], expires_at: str | None) -> ServingClaim:
    secret = document.get("secret")
    sealed_to = (
        None if secret is None else SealedTo(_text(secret["key_id"]), _text(secret["suite"]))
    )
    end = end_of(None if expires_at is None else _moment(_text(expires_at)))
    place = ClaimedPlace(
        _text(document["host"]), _text(document.get("repository_prefix", WHOLE_HOST))
    )
    return ServingClaim(place, Counted(sealed_to, end))


def _moment(text: str) -> datetime:
    """Return a time that UTC has a name for: by other clocks, the last year ends later."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected text")
    return value
