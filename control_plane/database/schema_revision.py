"""Whether this program may work with the schema that the database has.

A program works with the newest revision that it knows. Of a newer one, the migration that made it
notes which program is the oldest that may work with it, named by the newest revision which that one
knows.
"""

from typing import Final

from control_plane.database.database import DatabaseConnection
from control_plane.migrations.newest import newest_revision

PRESENT_REVISION: Final = "SELECT version_num FROM public.alembic_version"
OLDEST_PROGRAM: Final = "SELECT oldest_program FROM public.schema_compatibility"
TOO_OLD: Final = (
    "the database is at an older schema revision than this program's: `control-plane migrate` does"
    " the rest"
)
TOO_NEW: Final = (
    "the database is at a newer schema revision, which this program may not work with: upgrade it"
)


async def schema_problem(connection: DatabaseConnection) -> str | None:
    """Return why this program may not work with the database's schema, or None."""
    present, known = await connection.fetchval(PRESENT_REVISION), newest_revision()
    if present == known:
        return None
    if present is None or present < known:
        return TOO_OLD
    return None if may_work(known, await connection.fetchval(OLDEST_PROGRAM)) else TOO_NEW


def may_work(known: str, oldest_program: str | None) -> bool:
    """Tell whether a program that knows this revision may work with a newer one."""
    return oldest_program is not None and oldest_program <= known
