"""Sessions of the console, as their operators and admins see and end them.

Whoever ends their own does what a sign-out does. Both are in the audit log.
"""

from attrs import frozen

from control_plane.errors import NotFoundError
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.operator_token import InvalidOperatorNameError, OperatorName
from control_plane.operators.person import InvalidPersonError, Person, is_person
from control_plane.reading.page import View
from control_plane.reading.query_reader import ListPlace
from control_plane.sessions.session_store import SessionPage, SessionRow, SignedIn
from control_plane.sessions.sessions import Sessions
from shared.canonical_json import format_time
from shared.outside_bytes import Party, reads_bytes_of


@frozen
class OperatorSessions:
    """The use cases; `name` is an operator's, or a person's of single sign-on (`oidc:...`)."""

    _sessions: Sessions

    async def page(self, name: str, *, after: ListPlace | None, limit: int) -> SessionPage:
        """Return a page of somebody's sessions that go on, the newest first."""
        return await self._sessions.page_of(name, after=after, limit=limit)

    async def signed_in(
        self, *, after: str | None, limit: int
    ) -> tuple[list[SignedIn], str | None]:
        """Return a page of those who are signed in, and after whom the next one begins."""
        found = await self._sessions.signed_in(after=after, limit=limit + 1)
        following = found[limit - 1].name if len(found) > limit else None
        return [each for each in found[:limit] if _is_name(each.name)], following

    async def end_own(self, session_id: str, *, actor: AuthenticatedOperator) -> None:
        """End one of one's own sessions; raise `NotFoundError` if it does not go on."""
        await self._require(actor.name, session_id)
        await self._sessions.sign_out(session_id, actor=actor)

    async def end_all_own(self, actor: AuthenticatedOperator) -> None:
        """End all of one's own sessions."""
        await self._sessions.sign_out_everywhere(actor)

    async def end_of(self, name: str, session_id: str, *, actor: AuthenticatedOperator) -> None:
        """End a session of somebody; raise `NotFoundError` if it does not go on."""
        await self._require(name, session_id)
        await self._sessions.end_of(name, session_id, actor=actor)

    async def end_all_of(self, name: str, *, actor: AuthenticatedOperator) -> None:
        """End every session of somebody that has begun, whatever the database lists of them."""
        await self._sessions.end_of(name, None, actor=actor)

    async def _require(self, name: str, session_id: str) -> None:
        if not await self._sessions.goes_on(name, session_id):
            raise NotFoundError("this session has ended already, or is somebody else's")


def _is_name(text: str) -> bool:
    """Tell whether somebody may be called so: rows are not signed."""
    try:
        parse_caller(text)
    except NotFoundError:
        return False
    return True


@reads_bytes_of(Party.OPERATOR)
def parse_caller(text: str) -> str:
    """Return the name of an operator or a person; raise `NotFoundError` if it is neither."""
    try:
        return str(Person.parse(text)) if is_person(text) else OperatorName.parse(text).value
    except (InvalidOperatorNameError, InvalidPersonError) as error:
        raise NotFoundError(f"nobody can be called so: {error}") from None


def signed_in_view(who: SignedIn) -> View:
    """Return the JSON form of somebody who is signed in."""
    return {
        "name": who.name,
        "sessions": who.sessions,
        "last_used_at": format_time(who.last_used_at),
    }


def session_view(session: SessionRow) -> View:
    """Return the JSON form of a session."""
    return {
        "id": session.id,
        "began_at": format_time(session.began_at),
        "last_used_at": format_time(session.last_used_at),
        "ends_at": format_time(session.ends_at),
    }
