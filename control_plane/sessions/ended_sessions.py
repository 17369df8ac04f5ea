"""The endings that this process has seen: whoever deletes one from the database undoes nothing.

It looks for those of other processes every few seconds. Its own are kept apart from those: however
many rows somebody writes into the database, they push out none of them.
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

MAX_REMEMBERED: Final = 20_000  # endings of half a day, and as many of others; 300 bytes each


def _nothing() -> BoundedMap[str, datetime]:
    return BoundedMap(MAX_REMEMBERED, seconds=KEPT.total_seconds())


@define(eq=False)
class EndedSessions(RegularLook):
    """Remembers endings for as long as a session may last."""

    every_seconds: ClassVar = 5.0

    _clock: Clock
    _own: BoundedMap[str, datetime] = field(init=False, factory=_nothing)
    _seen: BoundedMap[str, datetime] = field(init=False, factory=_nothing)

    def note(self, what: str, ended_at: datetime) -> None:
        """Remember an ending of this process."""
        _remember(self._own, what, ended_at)

    def see(self, what: str, ended_at: datetime) -> None:
        """Remember what the database says; an end to come is one of now."""
        _remember(self._seen, what, min(ended_at, self._clock()))

    def has_ended(self, session: Session) -> bool:
        """Tell whether an ending that was seen ends a session."""
        return any(
            session.is_ended({what: at for what in session.ended_by if (at := endings.get(what))})
            for endings in (self._own, self._seen)
        )

    @override
    async def ask(self, connection: DatabaseConnection) -> None:
        """Take over what others ended."""
        now = self._clock()
        for what, ended_at in (await recent_endings(connection, now - KEPT)).items():
            self.see(what, ended_at)


def _remember(endings: BoundedMap[str, datetime], what: str, ended_at: datetime) -> None:
    """Keep an ending; of the same name the later one."""
    before = endings.get(what)
    endings.set(what, max(ended_at, before or ended_at))
