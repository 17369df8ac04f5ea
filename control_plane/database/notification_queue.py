"""PostgreSQL's queue of notifications, which all databases of a server share.

Any login can fill it: it listens, holds a transaction open, and notifies. While half of the queue
is in use, acts notify nobody (revision 0003 of the schema), so that they go on. Facades then find
changes by their poll, seconds later. Somebody should end that login's session.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

from attrs import define, field

from control_plane.database.database import Database
from control_plane.errors import DatabaseUnavailableError, SchemaOutdatedError
from control_plane.troubles import ControlPlanePart, Trouble

FULL_ENOUGH: Final = 0.5  # of the whole queue: with more, revision 0003 notifies nobody
LOOK_SECONDS: Final = 5.0  # one short query


@define(eq=False)
class NotificationQueue:
    """How much of the queue was in use when it was last asked."""

    _database: Database
    usage: float = field(default=0.0, init=False)  # of the whole queue: 0 to 1

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Ask how much is in use; if the database is away, the next time."""
        try:
            async with self._database.connection(tells=False) as connection:
                self.usage = await connection.fetchval("SELECT pg_notification_queue_usage()")
        except (DatabaseUnavailableError, SchemaOutdatedError):
            return  # `/readyz` says so

    def troubles(self) -> Iterator[Trouble]:
        """Yield the trouble that facades are not notified at present."""
        if self.usage >= FULL_ENOUGH:
            words = (
                f"PostgreSQL's notification queue is {self.usage:.0%} full, so facades are not told"
                " of changes and find them by their poll: a session that listens holds a"
                " transaction open; PostgreSQL's log names its process, end it"
            )
            yield Trouble(ControlPlanePart.NOTIFICATIONS, words, stops=False, kind="full")
