"""How many drafts wait, and when approvals end: for dashboards and alerts.

The numbers come from columns, which are not signed, and nothing is decided by them: to prove each
of ten thousand connections for a number would take seconds.
"""

import math
from datetime import datetime, timedelta
from typing import ClassVar, Final

from attrs import define
from typing_extensions import override

from control_plane.clock import Clock
from control_plane.database.database import DatabaseConnection
from control_plane.database.regular_look import RegularLook
from control_plane.metrics import ControlPlaneMetrics
from shared.canonical_json import MAX_DOCUMENT_BYTES

ENDS_SOON: Final = timedelta(days=7)  # as a facade counts them: time enough to approve again

_DRAFTS: Final = """
SELECT count(*) AS drafts,
       min(d.made_at) FILTER (WHERE d.made_at BETWEEN '2000-01-01Z' AND '9000-01-01Z') AS oldest
FROM public.connections c
JOIN public.connection_revisions d ON d.connection_id = c.id AND d.revision = c.draft_revision
WHERE c.revoked_at IS NULL
"""
# In the signed payload, which is canonical JSON. The document in it is a text whose quotes are
# escaped, so nothing in it looks like this.
_ENDS: Final = f"""
SELECT substring(
    encode(s.payload, 'escape')
    FROM '"expires_at":"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9:]{{8}}\\.[0-9]{{3}}Z)"'
) AS ends
FROM public.connections c
JOIN public.statements s ON s.subject = 'connection/' || c.id::text
WHERE c.revoked_at IS NULL AND starts_with(s.type, 'connection-approval/')
  AND octet_length(s.payload) <= {2 * MAX_DOCUMENT_BYTES}
"""  # noqa: S608 - our own number


@define(eq=False)
class ConnectionSurvey(RegularLook):
    """Counts over all connections."""

    # About as often as it is scraped; some ms for 10,000 connections.
    every_seconds: ClassVar = 15.0

    _metrics: ControlPlaneMetrics
    _now: Clock

    @override
    async def ask(self, connection: DatabaseConnection) -> None:
        """Show what there is."""
        drafts = await connection.fetchrow(_DRAFTS)
        ends = await connection.fetch(_ENDS)
        if drafts is not None:
            self._metrics.drafts.set(drafts["drafts"])
            oldest = drafts["oldest"]
            self._metrics.oldest_draft.set(oldest.timestamp() if oldest else math.nan)
        self._show_ends([_time(row["ends"]) for row in ends if row["ends"]])

    def _show_ends(self, ends: list[datetime | None]) -> None:
        now = self._now()
        ahead = [each for each in ends if each is not None and each > now]
        self._metrics.ending_soon.set(sum(1 for each in ahead if each <= now + ENDS_SOON))
        first = min(ahead, default=None)
        self._metrics.next_end.set(first.timestamp() if first else math.inf)


def _time(text: str) -> datetime | None:
    """Return the time; None of what only looks like one."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
