"""Sessions that this process was asked to end: ended here from that moment.

They end sessions here even if the audit log or the database takes nothing at that time. What was
taken is in the log, and there every process finds it.
"""

from datetime import datetime
from typing import Final

from attrs import define, field

from control_plane.proof.session_endings import ENDINGS_KEPT
from control_plane.sessions.session import Session
from shared.bounded_map import BoundedMap

MAX_REMEMBERED: Final = 20_000  # endings of half a day; 300 bytes each


def _nothing() -> BoundedMap[str, datetime]:
    return BoundedMap(MAX_REMEMBERED, seconds=ENDINGS_KEPT.total_seconds())


@define(eq=False)
class EndedSessions:
    """Remembers endings for as long as a session may last."""

    _endings: BoundedMap[str, datetime] = field(init=False, factory=_nothing)

    def note(self, what: str, began_by: datetime) -> None:
        """Remember an ending; of the same name the later one."""
        before = self._endings.get(what)
        self._endings.set(what, max(began_by, before or began_by))

    def has_ended(self, session: Session) -> bool:
        """Tell whether this process ended it."""
        return session.is_ended(self._endings.get)
