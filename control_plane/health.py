"""Whether this process can do its work: the database reached, migrated, and of the same key."""

from control_plane.acts import require_entry
from control_plane.database import Database
from control_plane.errors import DatabaseUnavailableError, SchemaOutdatedError
from control_plane.migrations.newest import newest_revision
from control_plane.signer import Verifier
from control_plane.statement_store import fetch_newest_entry
from shared.statement import StatementRefusedError


async def why_not_ready(database: Database, verifier: Verifier) -> str | None:
    """Return what is missing, in words, or nothing."""
    try:
        async with database.connection() as connection:
            present = await connection.fetchval("SELECT version_num FROM public.alembic_version")
            newest = await fetch_newest_entry(connection)
    except (DatabaseUnavailableError, SchemaOutdatedError) as error:
        return str(error)
    if present != newest_revision():
        return "the database is at another schema revision than this program"
    if newest is not None:
        try:
            require_entry(*newest, verifier)
        except StatementRefusedError:
            return "the newest audit entry is not believed with this statement key"
    return None
