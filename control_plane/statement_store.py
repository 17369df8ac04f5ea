"""The SQL of statements and audit entries: rows in, rows out, nothing believed."""

from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from control_plane.audit_filter import EVERY_ENTRY, AuditFilter
from control_plane.database import DatabaseConnection
from shared.statement import AuditEntry, Statement, StoredStatement

AUDIT_PAGE_ENTRIES: Final = 500  # a walk of the chain reads this many at a time


async def fetch_statement(
    connection: DatabaseConnection, subject: str, *, lock: bool = False
) -> StoredStatement | None:
    """Return the subject's newest statement; with `lock`, until the transaction ends."""
    query = "SELECT type, key_id, payload, signature FROM public.statements WHERE subject = $1"
    if lock:
        query += " FOR UPDATE"
    return envelope(await connection.fetchrow(query, subject))


async def fetch_subjects_that_say(
    connection: DatabaseConnection, wanted: Sequence[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Return those of the subjects and texts where the subject's row has the text in its payload.

    The row may be anybody's: nothing is verified.
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


async def fetch_statements_within(
    connection: DatabaseConnection, kind: str
) -> dict[str, StoredStatement]:
    """Return the newest statement of every subject of a kind such as `operator`."""
    rows = await connection.fetch(
        "SELECT subject, type, key_id, payload, signature FROM public.statements"
        " WHERE starts_with(subject, $1) ORDER BY subject",
        f"{kind}/",
    )
    return {row["subject"]: _envelope(row) for row in rows}


async def fetch_all_subjects(connection: DatabaseConnection) -> list[str]:
    """Return every subject that has a statement."""
    rows = await connection.fetch("SELECT subject FROM public.statements ORDER BY subject")
    return [row["subject"] for row in rows]


async def fetch_older_statements(
    connection: DatabaseConnection, seen: Mapping[str, int], *, at_most: int
) -> dict[str, StoredStatement | None]:
    """Return the statements of a lower generation than was seen; None for a subject without one."""
    rows = await connection.fetch(
        "SELECT seen.subject, type, key_id, payload, signature"
        " FROM unnest($1::text[], $2::bigint[]) AS seen (subject, generation)"
        " LEFT JOIN public.statements AS present USING (subject)"
        " WHERE present.subject IS NULL OR present.generation < seen.generation"
        " ORDER BY seen.subject LIMIT $3",
        list(seen.keys()),
        list(seen.values()),
        at_most,
    )
    return {row["subject"]: envelope(row) for row in rows}


async def fetch_newer_statements(
    connection: DatabaseConnection, seen: Mapping[str, int], *, after: str, limit: int
) -> dict[str, StoredStatement]:
    """Return statements of a higher generation than was seen, by subject from the one after."""
    rows = await connection.fetch(
        "SELECT present.subject, type, key_id, payload, signature"
        " FROM public.statements AS present"
        " LEFT JOIN unnest($1::text[], $2::bigint[]) AS seen (subject, generation) USING (subject)"
        " WHERE present.generation > coalesce(seen.generation, 0) AND present.subject > $3"
        " ORDER BY present.subject LIMIT $4",
        list(seen.keys()),
        list(seen.values()),
        after,
        limit,
    )
    return {row["subject"]: _envelope(row) for row in rows}


async def put_statement(
    connection: DatabaseConnection, statement: Statement, stored: StoredStatement
) -> None:
    """Make this the subject's newest statement."""
    await connection.execute(
        "INSERT INTO public.statements (subject, type, key_id, payload, signature, generation)"
        " VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (subject) DO UPDATE SET type = excluded.type, key_id = excluded.key_id,"
        " payload = excluded.payload, signature = excluded.signature,"
        " generation = excluded.generation, stored_at = clock_timestamp()",
        statement.subject,
        stored.type,
        stored.key_id,
        stored.payload,
        stored.signature,
        statement.generation,
    )


async def lock_audit(connection: DatabaseConnection) -> bool:
    """Take the act lock until the transaction ends; tell whether its row was there."""
    return bool(await connection.fetchval("SELECT the_only FROM public.audit_lock FOR UPDATE"))


async def fetch_newest_entry(
    connection: DatabaseConnection,
) -> tuple[int, StoredStatement] | None:
    """Return the end of the audit chain, with its place."""
    row = await connection.fetchrow(
        "SELECT sequence, type, key_id, payload, signature FROM public.audit_entries"
        " ORDER BY sequence DESC LIMIT 1"
    )
    return (row["sequence"], _envelope(row)) if row else None


async def fetch_newest_entry_about(
    connection: DatabaseConnection, subject: str
) -> StoredStatement | None:
    """Return the newest entry about a subject that names a generation."""
    return envelope(
        await connection.fetchrow(
            "SELECT type, key_id, payload, signature FROM public.audit_entries"
            " WHERE about = $1 AND about_generation IS NOT NULL"
            " ORDER BY sequence DESC LIMIT 1",
            subject,
        )
    )


async def fetch_entry_that_says(
    connection: DatabaseConnection, subject: str, action: str, text: str
) -> StoredStatement | None:
    """Return the newest entry of an action about a subject whose payload has the text."""
    return envelope(
        await connection.fetchrow(
            "SELECT type, key_id, payload, signature FROM public.audit_entries"
            " WHERE about = $1 AND action = $2 AND position($3::bytea IN payload) > 0"
            " ORDER BY sequence DESC LIMIT 1",
            subject,
            action,
            text.encode(),
        )
    )


async def insert_entry(
    connection: DatabaseConnection, entry: AuditEntry, stored: StoredStatement
) -> None:
    """Append an entry to the chain."""
    await connection.execute(
        "INSERT INTO public.audit_entries (sequence, type, key_id, payload, signature,"
        " at, actor, action, about, about_generation)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        entry.generation,
        stored.type,
        stored.key_id,
        stored.payload,
        stored.signature,
        entry.at,
        entry.actor,
        entry.action,
        entry.about,
        entry.about_generation,
    )


async def fetch_entries(
    connection: DatabaseConnection,
    wanted: AuditFilter = EVERY_ENTRY,
    *,
    after: int,
    limit: int,
) -> list[tuple[int, StoredStatement]]:
    """Return what is wanted of the entries, by their place in the chain, from the one after."""
    rows = await connection.fetch(
        "SELECT sequence, type, key_id, payload, signature FROM public.audit_entries"
        " WHERE sequence > $1 AND ($3::text IS NULL OR actor = $3)"
        " AND starts_with(action, $4) AND starts_with(about, $5)"
        " AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)"
        " ORDER BY sequence LIMIT $2",
        after,
        limit,
        wanted.actor,
        wanted.action or "",
        wanted.about or "",
        wanted.since,
        wanted.until,
    )
    return [(row["sequence"], _envelope(row)) for row in rows]


def envelope(row: asyncpg.Record | None, prefix: str = "") -> StoredStatement | None:
    """Return the envelope of a row whose columns may bear a prefix; none where it is NULL."""
    if row is None or row[f"{prefix}type"] is None:
        return None
    return _envelope(row, prefix)


def _envelope(row: asyncpg.Record, prefix: str = "") -> StoredStatement:
    columns = ("type", "key_id", "payload", "signature")
    return StoredStatement.of_columns(*(row[f"{prefix}{column}"] for column in columns))
