"""When the audit log was exported last, and up to where: whoever cut it off later is found by that.

`audit export` notes it in the database; a control plane shows it in its metrics. Nothing else rests
on it: whoever may write there can only hide that there was no export.
"""

import asyncio
from typing import Final

from attrs import define

from control_plane.database.database import Database
from control_plane.errors import DatabaseUnavailableError, SchemaOutdatedError
from control_plane.metrics import ControlPlaneMetrics

LOOK_SECONDS: Final = 15.0  # about as often as it is scraped; one row

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


@define(eq=False)
class LastExport:
    """Shows the last export."""

    _database: Database
    _metrics: ControlPlaneMetrics

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Show what was noted; where the database is away, another time."""
        try:
            async with self._database.connection(tells=False) as connection:
                noted = await connection.fetchrow(_LAST)
        except (DatabaseUnavailableError, SchemaOutdatedError):
            return  # `/readyz` says so
        self._metrics.exported_entries.set(noted["sequence"] if noted else 0)
        self._metrics.last_export.set(noted["exported_at"].timestamp() if noted else 0)
