"""The endings that this process has seen: whoever deletes one from the database undoes nothing.

It looks for those of other processes every few seconds.
"""

from datetime import datetime
from typing import ClassVar, Final

from attrs import define, field
from typing_extensions import override

from control_plane.clock import Clock
from control_plane.database.database import DatabaseConnection
from control_plane.database.regular_look import RegularLook
from control_plane.sessions.session import Session
from control_plane.sessions.session_store import KEPT, recent_endings
from shared.bounded_map import BoundedMap

MAX_REMEMBERED: Final = 20_000  # endings of half a day; 300 bytes each


@define(eq=False)
class EndedSessions(RegularLook):
    """Remembers endings for as long as a session may last."""

    every_seconds: ClassVar = 5.0

    _clock: Clock
    _seen: BoundedMap[str, datetime] = field(init=False)

    @_seen.default
    def _nothing_seen(self) -> BoundedMap[str, datetime]:
        return BoundedMap(MAX_REMEMBERED, seconds=KEPT.total_seconds())

    def note(self, what: str, ended_at: datetime) -> None:
        """Remember an ending; of the same name the later one."""
        before = self._seen.get(what)
        self._seen.set(what, max(ended_at, before or ended_at))

    def has_ended(self, session: Session) -> bool:
        """Tell whether an ending that was seen ends a session."""
        seen = ((what, self._seen.get(what)) for what in session.ended_by)
        return session.is_ended({what: at for what, at in seen if at is not None})

    @override
    async def ask(self, connection: DatabaseConnection) -> None:
        """Take over what others ended."""
        now = self._clock()
        for what, ended_at in (await recent_endings(connection, now - KEPT)).items():
            self.note(what, min(ended_at, now))
