"""One session of a browser: who it is of, and until when. Pure."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Self

from attrs import evolve, field, frozen

from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.proof.session_endings import (
    OF_EVERYBODY,
    of_provider,
    of_session,
    of_subject,
)

LIFETIME: Final = timedelta(hours=12)  # a working day; then the operator signs in again
IDLE: Final = timedelta(minutes=30)  # without a request
NOTED_EVERY: Final = timedelta(minutes=1)  # how often at most a use is noted
_ID_BYTES: Final = 16
_FORM_TOKEN_BYTES: Final = 16


@frozen
class Session:
    """A session, as its cookie has it under seal.

    `token_sha256` is the hash of the operator's token that it was begun with: the session lasts no
    longer than that token. `provider_session` is the OpenID provider's name of its own session
    (`sid`), which may end this one. `sign_on` tells which settings of single sign-on it was begun
    under. Each is None where there is none.
    """

    id: str  # hexadecimal
    operator: AuthenticatedOperator  # as at the sign-in
    began_at: datetime
    ends_at: datetime
    used_at: datetime
    form_token: str = field(repr=False)  # every form of this session bears it
    token_sha256: str | None = field(default=None, repr=False)
    provider_session: str | None = None
    sign_on: str | None = None

    @classmethod
    def begin(
        cls,
        operator: AuthenticatedOperator,
        at: datetime,
        *,
        token_sha256: str | None = None,
        provider_session: str | None = None,
        sign_on: str | None = None,
    ) -> Self:
        """Return a new session, whose id nobody can have known before."""
        return cls(
            secrets.token_hex(_ID_BYTES),
            operator,
            at,
            at + LIFETIME,
            at,
            secrets.token_urlsafe(_FORM_TOKEN_BYTES),
            token_sha256,
            provider_session,
            sign_on,
        )

    def why_over(self, at: datetime, *, last_used_at: datetime | None = None) -> str | None:
        """Return in words why the session is over at this time; None if it is not.

        `last_used_at` is when the database says that it was used last. It is not signed: a session
        that the cookie says is idle stays so, whatever the database says.
        """
        if at >= self.ends_at:
            return f"your session ended {int(LIFETIME / timedelta(hours=1))} hours after it began"
        used_at = min(self.used_at, last_used_at or self.used_at)
        if at >= used_at + IDLE:
            minutes = int(IDLE / timedelta(minutes=1))
            return f"your session ended, because it was not used for {minutes} minutes"
        return None

    def used(self, at: datetime) -> Self:
        """Return the session with this use noted, or as it is if a use was noted lately."""
        return evolve(self, used_at=at) if at >= self.used_at + NOTED_EVERY else self

    @property
    def ended_by(self) -> tuple[str, ...]:
        """What an ending may name to end this session."""
        ends = [of_session(self.id), of_subject(self.operator.name), OF_EVERYBODY]
        if self.provider_session is not None:
            ends.append(of_provider(self.provider_session))
        return tuple(ends)

    def is_ended(self, ending: Callable[[str], datetime | None]) -> bool:
        """Tell whether something ended it, given until when what such endings name had to begin.

        Its own ends it in any case. The audit log knows no less than a millisecond.
        """
        if ending(of_session(self.id)) is not None:
            return True
        began_at = self.began_at.replace(microsecond=self.began_at.microsecond // 1000 * 1000)
        return any((by := ending(what)) is not None and by >= began_at for what in self.ended_by)
