"""Sessions: begun at the sign-in, opened at each request, ended.

A request's session is the one of its cookie, if a key of ours sealed that. Then it has to go on, by
its own times, by the signed audit log and by the database's rows; and its operator is looked at as
the API does. All of that takes one round trip.

Whatever ends sessions is an entry of the audit log (`proof.session_endings`). So whoever writes
into the database ends sessions at most: they neither make one, nor undo an ending.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Self

from attrs import evolve, frozen

from control_plane.errors import AuditDamagedError, NotAuthenticatedError
from control_plane.operators.authenticated_operator import AuthenticatedOperator, LoginKind
from control_plane.operators.authenticator import Authenticator
from control_plane.operators.rate_limit import RateLimit
from control_plane.proof.actor import Actor
from control_plane.proof.acts import Acts
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.proofs import Proofs
from control_plane.proof.session_endings import (
    BEGAN_BY,
    PROVIDER_SESSION,
    SESSION,
    TOKENS_UNTIL,
    EndingAct,
    SessionEnding,
    ended_by_act,
    of_tokens,
)
from control_plane.proof.signed_log import SignedLog
from control_plane.reading.query_reader import ListPlace
from control_plane.sessions.ended_sessions import EndedSessions
from control_plane.sessions.session import Session
from control_plane.sessions.session_seal import SessionSeal, UnknownSessionError
from control_plane.sessions.session_store import (
    SessionPage,
    SessionState,
    SessionStore,
    SignedIn,
    ending,
)
from shared.canonical_json import format_time
from shared.statement import operator_subject
from shared.structured_log import get_logger

SIGN_INS: Final = 60  # of one operator at once: each leaves an entry in the log when it ends
SIGN_OUTS: Final = 60  # of all of one's own sessions, at once: each leaves an entry in the log
PER_SECOND: Final = 0.5  # of each beyond
PROVIDER: Final = "single sign-on"  # the actor of entries about what the provider tells

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
    _authenticator: Authenticator
    _chain: AuditChain
    _acts: Acts
    _store: SessionStore
    _ended: EndedSessions
    _sign_ins: RateLimit
    _sign_outs: RateLimit
    _sign_on: str | None  # the present settings of single sign-on, by their hash

    @classmethod
    def of(
        cls,
        seal: SessionSeal,
        authenticator: Authenticator,
        chain: AuditChain,
        acts: Acts,
        *,
        sign_on: str | None,
    ) -> Self:
        """Return the sessions that a database and its audit log know of."""
        ins, outs = (
            RateLimit(time.monotonic, burst=burst, per_second=PER_SECOND, what=what)
            for burst, what in ((SIGN_INS, "sign-ins"), (SIGN_OUTS, "sign-outs"))
        )
        store, ended = SessionStore(chain.database), EndedSessions()
        return cls(seal, authenticator, chain, acts, store, ended, ins, outs, sign_on)

    async def begin(
        self,
        operator: AuthenticatedOperator,
        *,
        token_sha256: str | None = None,
        provider_session: str | None = None,
    ) -> Session:
        """Return a new session of an operator who has just signed in.

        Without a `token_sha256` its role is the one of the sign-in, until it ends or the settings
        of single sign-on are others. Raises `TooManyRequestsError` if one operator signs in without
        end.
        """
        self._sign_ins.take(operator.name)
        session = Session.begin(
            operator,
            self._chain.clock(),
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
        return self._unsealed(cookie) is not None

    async def find(self, cookie: str) -> OpenSession:
        """Return the session of a cookie; raise `NotAuthenticatedError`, which says why not.

        Also raises what `AuditChain.reading` raises.
        """
        session = self._unsealed(cookie)
        if session is None:
            raise _over("your session is not known here any more", "unknown session")
        now, state = self._chain.clock(), SessionState.of(session)
        _require_going_on(session, session.why_over(now))
        about = [operator_subject(session.operator.name)] if session.token_sha256 else []
        async with self._chain.reading(state.last_use, state.endings, about=about) as proofs:
            operator = await self._present(session, proofs)
        last_used_at = state.last_used_at(proofs)
        if last_used_at is None:
            raise _over("your session has ended", "no row of it", session.operator.name)
        why_over = session.why_over(now, last_used_at=last_used_at)
        if self._has_ended(session, proofs.log, state.unsigned_endings(proofs)):
            why_over = "your session was ended"
        _require_going_on(session, why_over)
        used = session.used(now)
        if used is not session:
            await self._store.use(used)
        ends_at = min(session.ends_at, operator.expires_at or session.ends_at)
        present = evolve(operator, login=LoginKind.SESSION, expires_at=ends_at)
        return OpenSession(used, present, operator.expires_at, is_newly_used=used is not session)

    async def page_of(self, name: str, *, after: ListPlace | None, limit: int) -> SessionPage:
        """Return sessions of an operator, as the database has them: the newest first."""
        return await self._store.page_of(name, self._chain.clock(), after=after, limit=limit)

    async def signed_in(self, *, after: str | None, limit: int) -> list[SignedIn]:
        """Return who is signed in, as the database has it, in the order of their names."""
        return await self._store.signed_in(self._chain.clock(), after=after, limit=limit)

    async def goes_on(self, name: str, session_id: str) -> bool:
        """Tell whether this is a session of the operator that goes on, as the database has it."""
        return await self._store.goes_on(name, session_id, self._chain.clock())

    async def sign_out(self, session_id: str, *, actor: AuthenticatedOperator) -> None:
        """End one of the actor's own sessions."""
        about, details = operator_subject(actor.name), {SESSION: session_id}
        await self._end_in_any_case(EndingAct.SIGN_OUT, about, details, actor)

    async def sign_out_everywhere(self, actor: AuthenticatedOperator) -> None:
        """End every session of the actor that has begun.

        Raises `TooManyRequestsError` if one operator does it without end: a viewer may.
        """
        self._sign_outs.take(actor.name)
        about = operator_subject(actor.name)
        await self._end_in_any_case(EndingAct.SIGN_OUT, about, {}, actor)

    async def sign_out_cookie(self, cookie: str) -> None:
        """End the session of a cookie, if it is one of ours that goes on."""
        session = self._unsealed(cookie)
        if session is None or session.why_over(self._chain.clock()) is not None:
            return
        if not self._has_ended(session, await self._chain.loaded(), {}):
            await self.sign_out(session.id, actor=session.operator)

    async def end_of(
        self, name: str, session_id: str | None, *, actor: AuthenticatedOperator
    ) -> None:
        """End a session of somebody, or all that have begun; raise what an act raises."""
        about = operator_subject(name)
        if session_id is None:
            await self._end(EndingAct.END_SESSIONS, about, {}, actor)
        else:
            await self._end(EndingAct.END_SESSION, about, {SESSION: session_id}, actor)

    async def end_of_person(self, person: str, *, began_by: datetime) -> None:
        """End every session of a person that had begun by a time: the provider logged them out."""
        await self._logged_out(operator_subject(person), {}, began_by)

    async def end_of_provider(self, provider_session: str, *, began_by: datetime) -> None:
        """End every session that hung on a session of the OpenID provider by a time."""
        details = {PROVIDER_SESSION: provider_session}
        await self._logged_out(f"{PROVIDER_SESSION}/{provider_session}", details, began_by)

    def _until(self, began_by: datetime) -> str:
        """Return until when what began is ended, by our clock: what begins later goes on.

        The provider's may be ahead, and whoever was logged out signs in again.
        """
        return format_time(min(began_by, self._chain.clock()))

    async def _logged_out(self, about: str, of: Mapping[str, str], began_by: datetime) -> None:
        """End what the provider logged out; the same told again leaves no second entry."""
        until = format_time(began_by)
        details = {**of, BEGAN_BY: self._until(began_by), TOKENS_UNTIL: until}
        ends = self._ending(about, details)
        known = (await self._chain.loaded()).session_ending(of_tokens(ends.what))
        if known is None or format_time(known) < until:
            await self._end_in_any_case(EndingAct.PROVIDER_LOGOUT, about, details, PROVIDER)

    async def _end_in_any_case(
        self, action: EndingAct, about: str, details: Mapping[str, str], actor: Actor | str
    ) -> None:
        """End sessions even while the audit log is refused: then a row alone says so."""
        try:
            await self._end(action, about, details, actor)
        except AuditDamagedError as error:
            ends = self._ending(about, details)
            await self._store.end(ends.what, ends.began_by)
            _log.warning(
                "session ended outside the audit log", subject=ends.what, reason=str(error)
            )

    async def _end(
        self, action: EndingAct, about: str, details: Mapping[str, str], actor: Actor | str
    ) -> None:
        """Record what ends sessions; here they have ended from now on, whatever comes of that."""
        ends = self._ending(about, details)
        self._ended.note(ends.what, ends.began_by)
        _log.info("session ended", subject=ends.what)
        async with self._acts.begin() as act:
            act.record(actor=actor, action=action, about=about, details=details)
            act.change(ending(ends.what, ends.began_by))

    def _ending(self, about: str, details: Mapping[str, str]) -> SessionEnding:
        return ended_by_act(about, details, self._chain.clock())

    def _has_ended(
        self, session: Session, log: SignedLog, unsigned: Mapping[str, datetime]
    ) -> bool:
        return (
            session.is_ended(log.session_ending)
            or session.is_ended(unsigned.get)
            or self._ended.has_ended(session)
        )

    def _unsealed(self, cookie: str) -> Session | None:
        try:
            return self._seal.read(cookie)
        except UnknownSessionError:
            return None

    async def _present(self, session: Session, proofs: Proofs) -> AuthenticatedOperator:
        """Return the session's operator as of now."""
        if session.token_sha256 is not None:
            return await self._authenticator.present(
                session.operator.name, session.token_sha256, proofs
            )
        if self._sign_on is None or session.sign_on != self._sign_on:
            raise _over(
                "the settings of single sign-on have changed: sign in again",
                "begun under other settings of single sign-on",
                session.operator.name,
            )
        return session.operator


def _require_going_on(session: Session, why_over: str | None) -> None:
    if why_over is not None:
        raise _over(why_over, "the session has ended", session.operator.name)


def _over(message: str, reason: str, name: str | None = None) -> NotAuthenticatedError:
    return NotAuthenticatedError(message, reason=reason, claimed_name=name)
