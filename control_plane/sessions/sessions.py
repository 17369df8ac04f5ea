"""Beginning a session, and telling whose a cookie's is: at each request, as the API does."""

from attrs import evolve, frozen

from control_plane.clock import Clock
from control_plane.errors import NotAuthenticatedError
from control_plane.operators.operators import AuthenticatedOperator, Authenticator, LoginKind
from control_plane.sessions.session import Session
from control_plane.sessions.session_seal import SessionSeal, UnknownSessionError


@frozen
class OpenSession:
    """A session that goes on, and whose it is now."""

    session: Session
    operator: AuthenticatedOperator
    is_newly_used: bool  # whether the browser is to be given the session with this use in it


@frozen
class Sessions:
    """The sessions of this installation."""

    _keys: SessionSeal
    _operators: Authenticator
    _clock: Clock

    def begin(self, operator: AuthenticatedOperator, *, token_sha256: str | None = None) -> Session:
        """Return a new session of an operator who has just signed in."""
        return Session.begin(operator, self._clock(), token_sha256=token_sha256)

    def seal(self, session: Session) -> str:
        """Return the value of the session's cookie."""
        return self._keys.seal(session)

    async def find(self, cookie: str) -> OpenSession:
        """Return the session of a cookie; raise `NotAuthenticatedError`, which says why not."""
        try:
            session = self._keys.read(cookie)
        except UnknownSessionError:
            raise _ended("your session is not known here any more", "unknown session") from None
        now = self._clock()
        if reason := session.why_ended(now):
            raise _ended(reason, "the session has ended", session.operator.name)
        operator = session.operator
        if session.token_sha256 is not None:
            operator = await self._operators.present(operator.name, session.token_sha256)
        used = session.used(now)
        ends_at = min(session.ends_at, operator.expires_at or session.ends_at)
        operator = evolve(operator, login=LoginKind.SESSION, expires_at=ends_at)
        return OpenSession(used, operator, is_newly_used=used is not session)


def _ended(message: str, reason: str, name: str | None = None) -> NotAuthenticatedError:
    return NotAuthenticatedError(message, reason=reason, claimed_name=name)
