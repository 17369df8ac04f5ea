"""When the audit log was exported last, and up to where: whoever cut it off later is found by that.

`audit export` notes it in the database; a control plane shows it in its metrics. Nothing else rests
on it: whoever may write there can only hide that there was no export.
"""

from datetime import datetime
from typing import ClassVar, Final

from attrs import define, frozen
from typing_extensions import override

from control_plane.database.database import Database, DatabaseConnection
from control_plane.database.regular_look import RegularLook
from control_plane.metrics import ControlPlaneMetrics

_NOTED: Final = """
INSERT INTO public.audit_exports (sequence, exported_at) VALUES ($1, clock_timestamp())
ON CONFLICT (the_only) DO UPDATE
    SET sequence = excluded.sequence, exported_at = excluded.exported_at
"""
_LAST: Final = """
SELECT sequence, exported_at FROM public.audit_exports
WHERE exported_at BETWEEN '2000-01-01Z' AND '9000-01-01Z'
"""


async def note_export(database: Database, sequence: int) -> None:
    """Note that the log was exported up to an entry, now.

    Raises `DatabaseUnavailableError`, also if the login may not write, and `SchemaOutdatedError`.
    """
    async with database.connection() as connection:
        await connection.execute(_NOTED, sequence)


@frozen
class NotedExport:
    """What the database says of the last export: nobody signs it."""

    sequence: int  # up to this entry
    at: datetime


async def fetch_last_export(database: Database) -> NotedExport | None:
    """Return the last export that was noted."""
    async with database.connection() as connection:
        noted = await connection.fetchrow(_LAST)
    return NotedExport(noted["sequence"], noted["exported_at"]) if noted else None


@define(eq=False)
class LastExport(RegularLook):
    """Shows the last export."""

    every_seconds: ClassVar = 15.0  # about as often as it is scraped; one row

    _metrics: ControlPlaneMetrics

    @override
    async def ask(self, connection: DatabaseConnection) -> None:
        """Show what was noted."""
        noted = await connection.fetchrow(_LAST)
        self._metrics.exported_entries.set(noted["sequence"] if noted else 0)
        self._metrics.last_export.set(noted["exported_at"].timestamp() if noted else 0)
