"""Whether the facade's login may do more in the database than a facade needs: to read one view.

What a facade believes is signed, so a login that may write cannot approve anything. But whoever
steals such a login can delete what is approved, and read everything that the control plane stores.
"""

from typing import Final

import asyncpg

from shared.structured_log import get_logger

# Looked up by name, so that it takes the same time whatever else is in the database.
_TABLES: Final = (
    "statements",
    "facade_statements",
    "connections",
    "connection_revisions",
    "device_revocations",
    "audit_entries",
    "audit_checkpoint",
    "audit_exports",
    "alembic_version",
)
_CONTROL_PLANE: Final = "registry_control_plane"
# In the order of the query's columns. A superuser has all of them; only the first is told.
_WORDS: Final = (
    "is a superuser",
    "may write the control plane's tables",
    f"may become {_CONTROL_PLANE}",
    "may make roles",
)
_QUERY: Final = """
SELECT
    EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper),
    EXISTS (
        SELECT FROM pg_catalog.pg_class
        WHERE relname = ANY($1::text[])
          AND relnamespace = 'public'::regnamespace
          AND (pg_catalog.has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
               OR pg_catalog.has_any_column_privilege(oid, 'INSERT, UPDATE'))),
    EXISTS (
        SELECT FROM pg_catalog.pg_roles
        WHERE rolname = $2 AND pg_catalog.pg_has_role(oid, 'MEMBER')),
    EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolcreaterole)
"""
_log = get_logger("facade.login_rights")


async def excess_rights(connection: asyncpg.Connection) -> str | None:
    """Return in words what the login may do that no facade needs; None: nothing that is known.

    Raises one of `facade.approvals.database.DATABASE_FAILURES` if the connection is lost. If a
    server cannot answer the question, because it lacks these functions, nothing is said of it.
    """
    try:
        row = await connection.fetchrow(_QUERY, list(_TABLES), _CONTROL_PLANE)
    except asyncpg.PostgresError as error:
        _log.debug("the login's rights are not known", reason=type(error).__name__)
        return None
    answers = zip(_WORDS, tuple(row or ()), strict=False)
    return next((words for words, is_so in answers if is_so is True), None)
