"""Sessions: begun at the sign-in, opened at each request, ended.

A request's session is the one of its cookie, if a key of ours sealed that. Then it has to go on, by
its own times and by the database's; and its operator is looked at as the API does.
"""

from datetime import datetime
from typing import Self

from attrs import evolve, frozen

from control_plane.clock import Clock
from control_plane.database.database import Database
from control_plane.database.one_trip import RowChange
from control_plane.errors import NotAuthenticatedError
from control_plane.operators.authenticated_operator import AuthenticatedOperator, LoginKind
from control_plane.operators.authenticator import Authenticator
from control_plane.reading.query_reader import ListPlace
from control_plane.sessions.ended_sessions import EndedSessions
from control_plane.sessions.session import Session, of_provider, of_session, of_subject
from control_plane.sessions.session_seal import SessionSeal, UnknownSessionError
from control_plane.sessions.session_store import SessionPage, SessionStore, ending
from shared.structured_log import get_logger

_log = get_logger("control_plane.sessions")


@frozen
class OpenSession:
    """A session that goes on, and whose it is now."""

    session: Session
    operator: AuthenticatedOperator
    token_expires_at: datetime | None  # of the token that it was begun with
    is_newly_used: bool  # whether the browser is to be given the session with this use in it


@frozen
class Sessions:
    """The sessions of this installation."""

    _seal: SessionSeal
    _operators: Authenticator
    _store: SessionStore
    ended: EndedSessions  # it looks for endings in the background
    _clock: Clock
    _sign_on: str | None  # the present settings of single sign-on, by their hash

    @classmethod
    def of(
        cls,
        seal: SessionSeal,
        operators: Authenticator,
        database: Database,
        clock: Clock,
        *,
        sign_on: str | None,
    ) -> Self:
        """Return the sessions that a database knows of."""
        ended = EndedSessions(database, clock)
        return cls(seal, operators, SessionStore(database), ended, clock, sign_on)

    async def begin(
        self,
        operator: AuthenticatedOperator,
        *,
        token_sha256: str | None = None,
        provider_session: str | None = None,
    ) -> Session:
        """Return a new session of an operator who has just signed in.

        Without a `token_sha256` its role is the one of the sign-in, until it ends or the settings
        of single sign-on are others.
        """
        session = Session.begin(
            operator,
            self._clock(),
            token_sha256=token_sha256,
            provider_session=provider_session,
            sign_on=self._sign_on if token_sha256 is None else None,
        )
        await self._store.begin(session)
        _log.info("signed in", actor=operator.name, role=operator.role)
        return session

    def seal(self, session: Session) -> str:
        """Return the value of the session's cookie."""
        return self._seal.seal(session)

    def is_ours(self, cookie: str) -> bool:
        """Tell whether we sealed a cookie's session, which may be over."""
        try:
            self._seal.read(cookie)
        except UnknownSessionError:
            return False
        return True

    async def find(self, cookie: str) -> OpenSession:
        """Return the session of a cookie; raise `NotAuthenticatedError`, which says why not.

        Also raises what `Database` raises.
        """
        session = self._read(cookie)
        now = self._clock()
        self._require_going_on(session, session.why_over(now))
        operator = await self._present(session)
        last_used_at, endings = await self._store.state(session)
        for what, ended_at in endings.items():
            self.ended.see(what, ended_at)
        if last_used_at is None:
            raise _over("your session has ended", "no row of it", session.operator.name)
        self._require_going_on(session, session.why_over(now, last_used_at=last_used_at))
        used = session.used(now)
        if used is not session:
            await self._store.use(used)
        ends_at = min(session.ends_at, operator.expires_at or session.ends_at)
        present = evolve(operator, login=LoginKind.SESSION, expires_at=ends_at)
        return OpenSession(used, present, operator.expires_at, is_newly_used=used is not session)

    async def page_of(self, name: str, *, after: ListPlace | None, limit: int) -> SessionPage:
        """Return sessions of an operator, as the database has them: the newest first."""
        return await self._store.page_of(name, self._clock(), after=after, limit=limit)

    async def goes_on(self, name: str, session_id: str) -> bool:
        """Tell whether this is a session of the operator that goes on, as the database has it."""
        return await self._store.goes_on(name, session_id, self._clock())

    async def end(self, session_id: str) -> None:
        """End one session."""
        await self._end(of_session(session_id))

    def ending(self, what: str) -> RowChange:
        """Return what ends sessions together with an act; here they end at once."""
        now = self._clock()
        self.ended.note(what, now)
        _log.info("session ended", subject=what)
        return ending(what, now)

    async def end_cookie(self, cookie: str) -> None:
        """End the session of a cookie, if it is one of ours."""
        try:
            session = self._seal.read(cookie)
        except UnknownSessionError:
            return
        await self.end(session.id)

    async def end_all(self, name: str, *, began_by: datetime | None = None) -> None:
        """End every session of an operator that has begun, or had by a time."""
        await self._end(of_subject(name), began_by)

    async def end_of_provider(self, provider_session: str, *, began_by: datetime) -> None:
        """End every session that hung on a session of the OpenID provider by a time."""
        await self._end(of_provider(provider_session), began_by)

    async def _end(self, what: str, began_by: datetime | None = None) -> None:
        now = self._clock()
        ended_at = min(began_by or now, now)
        self.ended.note(what, ended_at)
        await self._store.end(what, ended_at)
        _log.info("session ended", subject=what)

    def _read(self, cookie: str) -> Session:
        try:
            return self._seal.read(cookie)
        except UnknownSessionError:
            raise _over("your session is not known here any more", "unknown session") from None

    def _require_going_on(self, session: Session, why_over: str | None) -> None:
        if self.ended.has_ended(session):
            why_over = "your session was ended"
        if why_over is not None:
            raise _over(why_over, "the session has ended", session.operator.name)

    async def _present(self, session: Session) -> AuthenticatedOperator:
        """Return the session's operator as of now."""
        if session.token_sha256 is None:
            if self._sign_on is None or session.sign_on != self._sign_on:
                raise _over(
                    "the settings of single sign-on have changed: sign in again",
                    "begun under other settings of single sign-on",
                    session.operator.name,
                )
            return session.operator
        return await self._operators.present(session.operator.name, session.token_sha256)


def _over(message: str, reason: str, name: str | None = None) -> NotAuthenticatedError:
    return NotAuthenticatedError(message, reason=reason, claimed_name=name)
