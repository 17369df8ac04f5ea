"""The rows of the facade's view, read so that neither a row nor their number can be too much.

Whoever may write in Postgres may put anything into a column. So a row is refused unread if it is
longer than any statement, or lacks a part; and rows are read in batches of bounded bytes.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import asyncpg
from attrs import field, frozen

from facade.approvals.refused_rows import WhyRefused
from facade.approvals.verified_row import RefusedRow, StatementRow
from facade.errors import MalformedError
from shared.canonical_json import MAX_DOCUMENT_BYTES
from shared.statement import StoredStatement

MAX_SUBJECT_BYTES: Final = 4096  # the table's own bound: a notification can name no more
MAX_NAME_BYTES: Final = 64  # of a type, of a key id: ours have at most 24, and 16
MAX_SIGNATURE_BYTES: Final = 64  # Ed25519 (RFC 8032)
MAX_PAYLOAD_BYTES: Final = MAX_DOCUMENT_BYTES  # no reader accepts a longer one
BATCH_BYTES: Final = 4 * 1024 * 1024  # of payloads at once, and one more; decoded in ms
BATCH_ROWS: Final = 200  # one batch verifies in about 40 ms of a thread
PAGE_ROWS: Final = 2000  # of subjects and signatures; decoded and compared in about 5 ms
PAGE_OF_LONG_ROWS: Final = 125  # half a MiB if each subject has its greatest length
LONG_SUBJECT_CHARACTERS: Final = 256  # on average; ours have 47, a device's id some 60

_FITS: Final = (
    f"octet_length(type) <= {MAX_NAME_BYTES} AND octet_length(key_id) <= {MAX_NAME_BYTES}"
    f" AND octet_length(signature) <= {MAX_SIGNATURE_BYTES}"
    f" AND octet_length(payload) <= {MAX_PAYLOAD_BYTES}"
)
# Only lengths are looked at, which Postgres knows without reading a long value. Of the rows that
# fit, it gives as many as there is room for, and the first one in any case.
_ROWS: Final = (
    "SELECT subject, fits, due, CASE WHEN due THEN type END,"  # noqa: S608 - made of constants
    " CASE WHEN due THEN key_id END,"
    " CASE WHEN due THEN payload END, CASE WHEN due THEN signature END FROM ("
    "SELECT *, fits AND coalesce(sum(size) FILTER (WHERE fits) OVER ("
    f"ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) < {BATCH_BYTES} AS due FROM ("
    f"SELECT *, octet_length(payload) AS size, {_FITS} AS fits FROM facade_statements"
    " WHERE subject = ANY($1) LIMIT $2) AS measured) AS summed"
)
# Not asyncpg's cursor, because its statements have names, which collide in a pooler's sessions.
# Pages by `subject >` would scan the table each time, because a security barrier has no order.
_DECLARE: Final = (
    "DECLARE signatures NO SCROLL CURSOR FOR SELECT"  # noqa: S608 - made of constants
    f" CASE WHEN octet_length(subject) <= {MAX_SUBJECT_BYTES} THEN subject END,"
    f" CASE WHEN octet_length(signature) <= {MAX_SIGNATURE_BYTES} THEN signature END"
    " FROM facade_statements"
)
_NOTHING: Final = StoredStatement("", "", b"", b"")  # of a row that was not read


class UnreadableRowsError(MalformedError, ValueError):
    """The server gives other rows than were asked for: one of `DATABASE_FAILURES`."""


@frozen
class SignaturePage:
    """Some rows, as far as a comparison needs them."""

    signatures: tuple[tuple[str, bytes | None], ...]  # None: it has no possible signature
    nameless: int  # rows without a possible subject


@frozen
class FoundRows:
    """What there is of some subjects."""

    rows: list[StatementRow]
    refused: list[RefusedRow]
    absent: set[str] = field(factory=set)


async def signature_pages(connection: asyncpg.Connection) -> AsyncGenerator[SignaturePage, None]:
    """Yield every row there is now, a page at a time, in any order.

    This is one scan of the table in one short transaction, in which no notification arrives. The
    caller closes the iterator.
    """
    async with connection.transaction(readonly=True):
        await connection.execute(_DECLARE)
        count = PAGE_OF_LONG_ROWS
        while records := await connection.fetch(f"FETCH {count} FROM signatures"):
            page = _page(records)
            count = PAGE_OF_LONG_ROWS if _is_long(page) else PAGE_ROWS
            yield page


async def found_rows(
    connection: asyncpg.Connection, wanted: Sequence[str]
) -> AsyncGenerator[FoundRows, None]:
    """Yield what there is of `BATCH_ROWS` subjects at most, in batches of `BATCH_BYTES`.

    Raises one of `DATABASE_FAILURES`.
    """
    left = list(wanted)
    while left:
        records = await connection.fetch(_ROWS, left, len(left))
        found, later = FoundRows([], []), list[str]()
        for record in records:
            _sort_in(record, found, later)
        if len(later) >= len(left):
            raise UnreadableRowsError("the database gives no row of those that it has")
        seen = {each.subject for each in found.rows} | {each.row.subject for each in found.refused}
        found.absent.update(set(left).difference(seen, later))
        yield found
        left = later


def _sort_in(record: asyncpg.Record, found: FoundRows, later: list[str]) -> None:
    subject, fits, is_due, *parts = record
    if not isinstance(subject, str):
        raise UnreadableRowsError("a row has another subject than was asked for")
    if fits and not is_due:
        later.append(subject)
    elif is_due and _are_parts(parts):
        found.rows.append(StatementRow(subject, StoredStatement(*parts)))
    else:
        found.refused.append(_unread(subject, fits=fits))


def _are_parts(parts: list[Any]) -> bool:
    return tuple(map(type, parts)) == (str, str, bytes, bytes)


def _unread(subject: str, *, fits: bool | None) -> RefusedRow:
    reason = "a part of it is longer than that of any statement"
    if fits is not False:
        reason = "a part of it is missing, or of another type"
    return RefusedRow(StatementRow(subject, _NOTHING), reason, WhyRefused.MALFORMED)


def _page(records: list[asyncpg.Record]) -> SignaturePage:
    named = tuple(
        (record[0], record[1] if isinstance(record[1], bytes) else None)
        for record in records
        if isinstance(record[0], str)
    )
    return SignaturePage(named, len(records) - len(named))


def _is_long(page: SignaturePage) -> bool:
    characters = sum(len(subject) for subject, _ in page.signatures)
    return characters > LONG_SUBJECT_CHARACTERS * len(page.signatures)
