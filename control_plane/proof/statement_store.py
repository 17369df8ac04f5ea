"""The SQL of statements and audit entries: rows in, rows out, nothing believed."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from attrs import frozen

from control_plane.database.database import DatabaseConnection
from control_plane.database.one_trip import Part, Row, RowChange
from control_plane.proof.audit_filter import EVERY_ENTRY, AuditFilter
from control_plane.proof.envelope_columns import (
    bounded_column,
    envelope_columns,
    envelope_names,
    envelope_of_form,
)
from shared.canonical_json import MAX_DOCUMENT_BYTES
from shared.statement import AuditEntry, Statement, StoredStatement

NO_ENVELOPE: Final = StoredStatement("", "", b"", b"")  # of a row without the form of one
_ENVELOPE: Final = envelope_columns()
_FOUND_NAMES: Final = ("actor", "action", "about", "at")
_FOUND_BY: Final = ", ".join(
    (
        *(bounded_column(name, name, MAX_DOCUMENT_BYTES) for name in ("actor", "action", "about")),
        "CASE WHEN at BETWEEN '2000-01-01Z' AND '9000-01-01Z' THEN at END AS at",
    )
)
_WANTED: Final = f"""
SELECT sequence, {_ENVELOPE}, {_FOUND_BY} FROM public.audit_entries
WHERE ($3::text IS NULL OR actor = $3) AND starts_with(action, $4) AND starts_with(about, $5)
  AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)
"""  # noqa: S608 - constants
_UPWARDS: Final = f"{_WANTED} AND sequence > $1 ORDER BY sequence LIMIT $2"
_DOWNWARDS: Final = f"{_WANTED} AND sequence < $1 ORDER BY sequence DESC LIMIT $2"
# Takes the act lock until the transaction ends.
LOCK: Final = "SELECT the_only FROM public.audit_lock FOR UPDATE"
AUDIT_PAGE_ENTRIES: Final = 500  # a walk of the chain reads this many at a time


def statements_of(subjects: Collection[str]) -> Part:
    """Return the read of these subjects' newest statements."""
    return Part(
        ("subject", *envelope_names()),
        f"SELECT subject, {_ENVELOPE} FROM public.statements"  # noqa: S608 - constants
        " WHERE subject = ANY ($1::text[])",
        (list(subjects),),
    )


def statements_within(beginning: str, *, after: str = "", limit: int | None = None) -> Part:
    """Return the read of the newest statement of every subject that begins so: `operator/`.

    With a limit, of the first ones after a subject, as Python sorts them.
    """
    return Part(
        ("subject", *envelope_names()),
        f"SELECT subject, {_ENVELOPE} FROM public.statements"  # noqa: S608 - constants
        ' WHERE starts_with(subject, $1) AND subject COLLATE "C" > $2::text'
        ' ORDER BY subject COLLATE "C" LIMIT $3::bigint',
        (beginning, after, limit),
    )


def statement_rows(rows: Iterable[Row]) -> dict[str, StoredStatement | None]:
    """Return the statements of such a read, by the subjects of their rows."""
    return {row["subject"]: envelope_of_form(row) for row in rows}


async def fetch_subjects_that_say(
    connection: DatabaseConnection, wanted: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Return those pairs of a subject and a text whose row's payload contains the text.

    Nothing is verified: anybody may have written the row.
    """
    rows = await connection.fetch(
        "SELECT wanted.subject, wanted.text"
        " FROM unnest($1::text[], $2::text[]) AS wanted (subject, text)"
        " JOIN public.statements AS present USING (subject)"
        " WHERE position(convert_to(wanted.text, 'UTF8') IN present.payload) > 0",
        [subject for subject, _ in wanted],
        [text for _, text in wanted],
    )
    return {(row["subject"], row["text"]) for row in rows}


async def count_other_keys(
    connection: DatabaseConnection, known: Collection[str], *, at_most: int
) -> dict[str, int]:
    """Return how many statements name a key that is not known, by the key's id."""
    rows = await connection.fetch(
        "SELECT key_id, count(*) AS statements FROM public.statements"
        " WHERE CASE WHEN octet_length(key_id) = 16"  # a column may hold anything, of any length
        " THEN key_id ~ '^[0-9a-f]{16}$' AND key_id <> ALL($1::text[]) END"
        " GROUP BY key_id ORDER BY statements DESC, key_id LIMIT $2",
        list(known),
        at_most,
    )
    return {row["key_id"]: row["statements"] for row in rows}


def put_statements(signed: Sequence[tuple[Statement, StoredStatement]]) -> RowChange:
    """Return the change that makes each the newest statement of its subject."""
    return RowChange(
        "INSERT INTO public.statements (subject, type, key_id, payload, signature, generation)"
        " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[],"
        " $6::bigint[])"
        " ON CONFLICT (subject) DO UPDATE SET type = excluded.type, key_id = excluded.key_id,"
        " payload = excluded.payload, signature = excluded.signature,"
        " generation = excluded.generation, stored_at = clock_timestamp()",
        (
            [statement.subject for statement, _ in signed],
            *_envelopes(stored for _, stored in signed),
            [statement.generation for statement, _ in signed],
        ),
    )


def lock_row() -> Part:
    """Return the read of the row that acts lock, which may be gone."""
    return Part(("the_only",), "SELECT the_only FROM public.audit_lock")


async def fetch_entry_that_says(
    connection: DatabaseConnection, subject: str, action: str, text: str
) -> StoredStatement | None:
    """Return the newest entry of an action about a subject whose payload contains the text."""
    return envelope_of_form(
        await connection.fetchrow(
            f"SELECT {_ENVELOPE} FROM public.audit_entries"  # noqa: S608 - constants
            " WHERE about = $1 AND action = $2 AND position($3::bytea IN payload) > 0"
            " ORDER BY sequence DESC LIMIT 1",
            subject,
            action,
            text.encode(),
        )
    )


def append_entries(signed: Sequence[tuple[AuditEntry, StoredStatement]]) -> RowChange:
    """Return the change that appends entries to the chain."""
    entries = [entry for entry, _ in signed]
    return RowChange(
        "INSERT INTO public.audit_entries (sequence, type, key_id, payload, signature,"
        " at, actor, action, about, about_generation)"
        " SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::bytea[],"
        " $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::bigint[])",
        (
            [entry.generation for entry in entries],
            *_envelopes(stored for _, stored in signed),
            [entry.at for entry in entries],
            [entry.actor for entry in entries],
            [entry.action for entry in entries],
            [entry.about for entry in entries],
            [entry.about_generation for entry in entries],
        ),
    )


def _envelopes(stored: Iterable[StoredStatement]) -> tuple[list[object], ...]:
    """Return the columns of envelopes, each as a list."""
    rows = [(each.type, each.key_id, each.payload, each.signature) for each in stored]
    return tuple(list(column) for column in zip(*rows, strict=True))


@frozen
class ListedEntry:
    """A row of the audit log: its envelope, and the columns by which it is found."""

    sequence: int
    stored: StoredStatement
    found_by: tuple[object, ...]  # actor, action, about, time: nobody signs them

    def is_found_as(self, entry: AuditEntry) -> bool:
        """Tell whether those columns agree with the signed entry."""
        return self.found_by == (entry.actor, entry.action, entry.about, entry.at)


async def fetch_entries(
    connection: DatabaseConnection,
    wanted: AuditFilter = EVERY_ENTRY,
    *,
    after: int,
    limit: int,
) -> list[ListedEntry]:
    """Return the wanted entries after a place, in the order of the chain."""
    return await _fetch_wanted(connection, _UPWARDS, wanted, after, limit)


async def fetch_newest_entries(
    connection: DatabaseConnection, wanted: AuditFilter, *, before: int, limit: int
) -> list[ListedEntry]:
    """Return the wanted entries before a place, the newest first."""
    return await _fetch_wanted(connection, _DOWNWARDS, wanted, before, limit)


async def _fetch_wanted(
    connection: DatabaseConnection, query: str, wanted: AuditFilter, place: int, limit: int
) -> list[ListedEntry]:
    rows = await connection.fetch(
        query,
        place,
        limit,
        wanted.actor,
        wanted.action or "",
        wanted.about or "",
        wanted.since,
        wanted.until,
    )
    return listed_entries(rows)


def entries_about(subject: str, *, before: int | None, limit: int) -> Part:
    """Return the read of the newest entries about a subject, before a place; the newest first."""
    return _entries_about(subject, (), before, limit)


def last_entry_of(subject: str, actions: Sequence[str], *, before: int) -> Part:
    """Return the read of the last entry of these actions about a subject before a place."""
    return _entries_about(subject, actions, before, 1)


def _entries_about(subject: str, actions: Sequence[str], before: int | None, limit: int) -> Part:
    return Part(
        ("sequence", *envelope_names(), *_FOUND_NAMES),
        f"SELECT sequence, {_ENVELOPE}, {_FOUND_BY} FROM public.audit_entries"  # noqa: S608 - constants
        " WHERE about = $1 AND ($2::bigint IS NULL OR sequence < $2)"
        " AND (cardinality($3::text[]) = 0 OR action = ANY ($3::text[]))"
        " ORDER BY sequence DESC LIMIT $4::bigint",
        (subject, before, list(actions), limit),
    )


def listed_entries(rows: Iterable[Row]) -> list[ListedEntry]:
    """Return the entries of such a read."""
    return [
        ListedEntry(
            row["sequence"],
            envelope_of_form(row) or NO_ENVELOPE,
            tuple(row[name] for name in _FOUND_NAMES),
        )
        for row in rows
    ]
