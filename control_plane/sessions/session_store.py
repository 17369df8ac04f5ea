"""What Postgres holds of sessions: when each was used last, and what ended some.

It makes none: a session is in its cookie, under seal. Rows are kept for as long as they can matter.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from control_plane.database.database import Database, DatabaseConnection
from control_plane.database.one_trip import Part, RowChange, fetch_parts, make_changes
from control_plane.sessions.session import LIFETIME, Session

MAX_LISTED_SESSIONS: Final = 100  # of one operator: who has more ends all
KEPT: Final = LIFETIME + timedelta(hours=1)  # endings: no session is older; an hour for clocks
MAX_ENDINGS: Final = 10_000  # taken at once, the newest first

_BEGIN: Final = """
INSERT INTO public.session_uses (session_id, subject, began_at, ends_at, last_used_at)
VALUES ($1, $2, $3, $4, $3)
"""
_FORGET_USES: Final = "DELETE FROM public.session_uses WHERE ends_at < $1"
_FORGET_ENDINGS: Final = "DELETE FROM public.session_endings WHERE ended_at < $1"
_USE: Final = """
UPDATE public.session_uses SET last_used_at = greatest(last_used_at, $2) WHERE session_id = $1
"""
_END: Final = """
INSERT INTO public.session_endings (what, ended_at) VALUES ($1, $2)
ON CONFLICT (what) DO UPDATE SET ended_at = greatest(session_endings.ended_at, excluded.ended_at)
"""
# Postgres knows times that Python does not: whoever writes one ends a session at most.
_LAST_USE: Final = """
SELECT last_used_at FROM public.session_uses
WHERE session_id = $1 AND last_used_at BETWEEN '2000-01-01Z' AND '9000-01-01Z'
"""
_ENDINGS_OF: Final = """
SELECT what, least(ended_at, '9000-01-01Z') AS ended_at FROM public.session_endings
WHERE what = ANY($1) AND ended_at > '2000-01-01Z'
"""
_RECENT_ENDINGS: Final = """
SELECT what, least(ended_at, '9000-01-01Z') AS ended_at FROM public.session_endings
WHERE ended_at >= $1
ORDER BY session_endings.ended_at DESC LIMIT $2
"""
_OF_SUBJECT: Final = """
SELECT session_id, began_at, ends_at, last_used_at FROM public.session_uses u
WHERE subject = $1 AND ends_at > $2 AND last_used_at > $3
  AND began_at > '2000-01-01Z' AND greatest(began_at, ends_at, last_used_at) < '9000-01-01Z'
  AND NOT EXISTS (SELECT FROM public.session_endings e
                  WHERE e.what IN ('session/' || u.session_id, 'subject/' || u.subject)
                    AND e.ended_at >= u.began_at)
ORDER BY last_used_at DESC, session_id LIMIT $4
"""


@frozen
class SessionRow:
    """What the database says of a session. It is not signed."""

    id: str
    began_at: datetime
    ends_at: datetime
    last_used_at: datetime


@frozen
class SessionStore:
    """Reads and writes the two tables; each method is one round trip."""

    database: Database

    async def begin(self, session: Session) -> None:
        """Note a new session, and forget those that nobody can use any more."""
        now = session.began_at
        arguments = (session.id, session.operator.name, now, session.ends_at)
        async with self.database.connection() as connection:
            await make_changes(
                connection,
                [
                    RowChange(_BEGIN, arguments),
                    RowChange(_FORGET_USES, (now,)),
                    RowChange(_FORGET_ENDINGS, (now - KEPT,)),
                ],
            )

    async def use(self, session: Session) -> None:
        """Note a use."""
        async with self.database.connection() as connection:
            await connection.execute(_USE, session.id, session.used_at)

    async def end(self, what: str, at: datetime) -> None:
        """Note an ending."""
        async with self.database.connection() as connection:
            await connection.execute(_END, what, at)

    async def state(self, session: Session) -> tuple[datetime | None, Mapping[str, datetime]]:
        """Return when the session was used last, and the endings that may be its own."""
        last_use = Part(("last_used_at",), _LAST_USE, (session.id,))
        endings = Part(("what", "ended_at"), _ENDINGS_OF, (list(session.ended_by),))
        async with self.database.connection() as connection:
            uses, ended = await fetch_parts(connection, [last_use, endings])
        last_used_at = uses[0]["last_used_at"] if uses else None
        return last_used_at, {row["what"]: row["ended_at"] for row in ended}

    async def of_subject(
        self, name: str, at: datetime, used_since: datetime
    ) -> Sequence[SessionRow]:
        """Return the sessions of an operator that go on, the last used first."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(_OF_SUBJECT, name, at, used_since, MAX_LISTED_SESSIONS)
        return [SessionRow(*row) for row in rows]


async def recent_endings(connection: DatabaseConnection, since: datetime) -> dict[str, datetime]:
    """Return what was ended since then."""
    rows = await connection.fetch(_RECENT_ENDINGS, since, MAX_ENDINGS)
    return {row["what"]: row["ended_at"] for row in rows}
