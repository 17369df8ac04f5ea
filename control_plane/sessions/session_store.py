"""What Postgres holds of sessions: when each was used last, and what ended some.

It makes none: a session is in its cookie, under seal. Rows are kept for as long as they can matter.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Self
from uuid import UUID

from attrs import frozen

from control_plane.database.database import Database
from control_plane.database.one_trip import Part, RowChange, make_changes
from control_plane.proof.proofs import Proofs
from control_plane.proof.session_endings import ENDINGS_KEPT, OF_EVERYBODY
from control_plane.reading.query_reader import ListPlace
from control_plane.sessions.session import IDLE, Session

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
# Those that go on: neither over, nor idle, nor ended. An id is one of ours, and no other text.
_GOES_ON: Final = f"""
      ends_at > $1 AND last_used_at > $2
  AND began_at > greatest('2000-01-01Z', (SELECT max(e.ended_at) FROM public.session_endings e
                                          WHERE e.what IN ('subject/' || u.subject,
                                                           '{OF_EVERYBODY}')))
  AND greatest(began_at, ends_at, last_used_at) < '9000-01-01Z'
  AND NOT EXISTS (SELECT FROM public.session_endings e
                  WHERE e.what = 'session/' || u.session_id)
  AND session_id ~ '^[0-9a-f]{{32}}$'
"""  # noqa: S608 - a constant
_OF_SUBJECT: Final = f"""
SELECT session_id, began_at, ends_at, last_used_at FROM public.session_uses u
WHERE {_GOES_ON} AND subject = $3
"""  # noqa: S608 - constants
_SIGNED_IN: Final = f"""
SELECT subject, count(*) AS sessions, max(last_used_at) AS last_used_at FROM public.session_uses u
WHERE {_GOES_ON} AND ($3::text IS NULL OR subject COLLATE "C" > $3)
GROUP BY subject ORDER BY subject COLLATE "C" LIMIT $4
"""  # noqa: S608 - constants
_ONE: Final = f"{_OF_SUBJECT} AND session_id = $4"
_PAGE: Final = f"""
{_OF_SUBJECT} AND ($4::timestamptz IS NULL OR (began_at, session_id COLLATE "C") < ($4, $5))
ORDER BY began_at DESC, session_id COLLATE "C" DESC LIMIT $6
"""


@frozen
class SessionRow:
    """What the database says of a session. It is not signed."""

    id: str
    began_at: datetime
    ends_at: datetime
    last_used_at: datetime

    @property
    def place(self) -> ListPlace:
        """Its place in a list."""
        return self.began_at, UUID(self.id)


@frozen
class SignedIn:
    """Somebody whose sessions go on, as the database says. It is not signed."""

    name: str  # an operator's, or a person's of single sign-on
    sessions: int
    last_used_at: datetime


@frozen
class SessionPage:
    """Sessions of one operator, the newest first."""

    sessions: list[SessionRow]
    has_more: bool

    @property
    def next_place(self) -> ListPlace | None:
        """After which place the next page begins."""
        return self.sessions[-1].place if self.has_more else None


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
                    RowChange(_FORGET_ENDINGS, (now - ENDINGS_KEPT,)),
                ],
            )

    async def use(self, session: Session) -> None:
        """Note a use."""
        async with self.database.connection() as connection:
            await connection.execute(_USE, session.id, session.used_at)

    async def end(self, what: str, at: datetime) -> None:
        """Note an ending."""
        async with self.database.connection() as connection:
            await make_changes(connection, [ending(what, at)])

    async def page_of(
        self, name: str, at: datetime, *, after: ListPlace | None, limit: int
    ) -> SessionPage:
        """Return sessions of an operator that go on, the newest first, from a place on."""
        began_at, session_id = (after[0], after[1].hex) if after else (None, None)
        place = began_at, session_id, limit + 1
        async with self.database.connection() as connection:
            rows = await connection.fetch(_PAGE, at, at - IDLE, name, *place)
        return SessionPage([SessionRow(*row) for row in rows[:limit]], has_more=len(rows) > limit)

    async def signed_in(self, at: datetime, *, after: str | None, limit: int) -> list[SignedIn]:
        """Return who is signed in, in the order of their names, from a name on."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(_SIGNED_IN, at, at - IDLE, after, limit)
        return [SignedIn(*row) for row in rows]

    async def goes_on(self, name: str, session_id: str, at: datetime) -> bool:
        """Tell whether this is a session of the operator that goes on."""
        async with self.database.connection() as connection:
            return bool(await connection.fetch(_ONE, at, at - IDLE, name, session_id))


def ending(what: str, at: datetime) -> RowChange:
    """Return the change that notes an ending."""
    return RowChange(_END, (what, at))


@frozen
class SessionState:
    """What is asked of the database about a session, together with what is signed."""

    last_use: Part
    endings: Part

    @classmethod
    def of(cls, session: Session) -> Self:
        """Return the questions about a session."""
        return cls(
            Part(("last_used_at",), _LAST_USE, (session.id,)),
            Part(("what", "ended_at"), _ENDINGS_OF, (list(session.ended_by),)),
        )

    def last_used_at(self, proofs: Proofs) -> datetime | None:
        """Return when it was used last; None if no row says so."""
        rows = proofs.rows(self.last_use)
        return rows[0]["last_used_at"] if rows else None

    def unsigned_endings(self, proofs: Proofs) -> Mapping[str, datetime]:
        """Return the endings that rows alone say; what ended is in the signed log as well."""
        return {row["what"]: row["ended_at"] for row in proofs.rows(self.endings)}
