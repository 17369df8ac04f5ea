"""Sessions of the console, as their operators and admins see and end them.

Whoever ends their own does what a sign-out does. An admin who ends somebody else's is in the audit
log, in the transaction that ends it.
"""

from typing import Final

from attrs import frozen

from control_plane.errors import NotFoundError
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.proof.acts import Acts
from control_plane.reading.page import View
from control_plane.reading.query_reader import ListPlace
from control_plane.sessions.session import of_session, of_subject
from control_plane.sessions.session_store import SessionPage, SessionRow
from control_plane.sessions.sessions import Sessions
from shared.canonical_json import format_time
from shared.statement import operator_subject

END_SESSION: Final = "operator.end_session"
END_SESSIONS: Final = "operator.end_sessions"
_SESSION: Final = "session"  # the detail of an entry that names which


@frozen
class OperatorSessions:
    """The use cases; `name` is an operator's, or a person's of single sign-on (`oidc:...`)."""

    _sessions: Sessions
    _acts: Acts

    async def page(self, name: str, *, after: ListPlace | None, limit: int) -> SessionPage:
        """Return a page of somebody's sessions that go on, the newest first."""
        return await self._sessions.page_of(name, after=after, limit=limit)

    async def end_own(self, name: str, session_id: str) -> None:
        """End one of one's own sessions; raise `NotFoundError` if it does not go on."""
        await self._require(name, session_id)
        await self._sessions.end(session_id)

    async def end_all_own(self, name: str) -> None:
        """End all of one's own sessions."""
        await self._sessions.end_all(name)

    async def end_of(self, name: str, session_id: str, *, actor: AuthenticatedOperator) -> None:
        """End a session of somebody; raise `NotFoundError` if it does not go on."""
        await self._require(name, session_id)
        details = {_SESSION: session_id}
        await self._act(name, END_SESSION, of_session(session_id), details, actor)

    async def end_all_of(self, name: str, *, actor: AuthenticatedOperator) -> None:
        """End every session of somebody that has begun, whatever the database lists of them."""
        await self._act(name, END_SESSIONS, of_subject(name), {}, actor)

    async def _require(self, name: str, session_id: str) -> None:
        if not await self._sessions.goes_on(name, session_id):
            raise NotFoundError("this session has ended already, or is somebody else's")

    async def _act(
        self,
        name: str,
        action: str,
        what: str,
        details: dict[str, str],
        actor: AuthenticatedOperator,
    ) -> None:
        async with self._acts.begin() as act:
            act.record(actor=actor, action=action, about=operator_subject(name), details=details)
            act.change(self._sessions.ending(what))


def session_view(session: SessionRow) -> View:
    """Return the JSON form of a session."""
    return {
        "id": session.id,
        "began_at": format_time(session.began_at),
        "last_used_at": format_time(session.last_used_at),
        "ends_at": format_time(session.ends_at),
    }
