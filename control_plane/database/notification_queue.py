"""PostgreSQL's queue of notifications, which all databases of a server share.

Any login can fill it: it listens, holds a transaction open, and notifies. While half of the queue
is in use, acts notify nobody (revision 0003 of the schema), so that they go on. Facades then find
changes by their poll, seconds later. Somebody should end that login's session.
"""

from collections.abc import Iterator
from typing import ClassVar, Final

from attrs import define, field
from typing_extensions import override

from control_plane.database.database import DatabaseConnection
from control_plane.database.regular_look import RegularLook
from control_plane.troubles import ControlPlanePart, Trouble

FULL_ENOUGH: Final = 0.5  # of the whole queue: with more, revision 0003 notifies nobody


@define(eq=False)
class NotificationQueue(RegularLook):
    """How much of the queue was in use when it was last asked."""

    every_seconds: ClassVar = 5.0  # one short query

    usage: float = field(default=0.0, init=False)  # of the whole queue: 0 to 1

    @override
    async def ask(self, connection: DatabaseConnection) -> None:
        """Ask how much is in use."""
        self.usage = await connection.fetchval("SELECT pg_notification_queue_usage()")

    def troubles(self) -> Iterator[Trouble]:
        """Yield the trouble that facades are not notified at present."""
        if self.usage >= FULL_ENOUGH:
            words = (
                f"PostgreSQL's notification queue is {self.usage:.0%} full, so facades are not told"
                " of changes and find them by their poll: a session that listens holds a"
                " transaction open; PostgreSQL's log names its process, end it"
            )
            yield Trouble(ControlPlanePart.NOTIFICATIONS, words, stops=False, kind="full")
