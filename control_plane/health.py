"""Whether this process can do its work: the database reached, migrated, and of the same key; and
what is wrong with it that does not keep it from working yet.
"""

import asyncio

from attrs import define, field

from control_plane.acts import AUDIT_SUBJECT, VANISHED, require_entry
from control_plane.belief import HighestGenerations
from control_plane.clock import Clock
from control_plane.database import Database
from control_plane.errors import DatabaseUnavailableError, SchemaOutdatedError
from control_plane.migrations.newest import newest_revision
from control_plane.notification_queue import NotificationQueue
from control_plane.remembering import Remembering
from control_plane.signer import Verifier
from control_plane.statement_store import fetch_newest_entry
from control_plane.tls_reload import ReloadedTls
from control_plane.troubles import Part, Trouble
from shared.statement import StatementRefusedError
from shared.supervised import Supervisor


@define(eq=False)
class Health:
    """How this process stands."""

    _database: Database
    _verifier: Verifier
    _tls: ReloadedTls | None
    _remembering: Remembering
    _notifications: NotificationQueue
    _highest: HighestGenerations
    _clock: Clock
    _supervisor: Supervisor
    _looking: asyncio.Task[str | None] | None = field(default=None, init=False)

    async def why_not_ready(self) -> str | None:
        """Return what is missing, in words, or nothing.

        Anybody may ask; those who ask while it is being looked share one look.
        """
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._has_looked)
        return await asyncio.shield(self._looking)

    def _has_looked(self, _: object) -> None:
        self._looking = None

    async def _look(self) -> str | None:
        await self._notifications.look()
        stopping = (trouble.words for trouble in self.troubles() if trouble.stops)
        seen = self._highest.of(AUDIT_SUBJECT)  # before reading: what is read is not older
        found = await why_not_ready(self._database, self._verifier, newest_seen=seen)
        return found or next(stopping, None)

    def troubles(self) -> list[Trouble]:
        """Return what is wrong now; of each part one at most."""
        of_tls = [] if self._tls is None else self._tls.troubles(self._clock())
        found = [*of_tls, *self._remembering.troubles(), *self._notifications.troubles()]
        if failing := "; ".join(self._supervisor.problems()):
            found.append(Trouble(Part.BACKGROUND, failing, stops=False, kind=failing))
        return found

    def refused_files(self) -> frozenset[str]:
        """Return the settings whose file is not used as it is now."""
        return frozenset() if self._tls is None else frozenset(self._tls.refused)


async def why_not_ready(
    database: Database, verifier: Verifier, *, newest_seen: int = 0
) -> str | None:
    """Return what is missing, in words, or nothing. `newest_seen` is a place in the audit log."""
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
    # No act can follow; reads go on.
    return VANISHED if newest_seen > (newest[0] if newest else 0) else None
