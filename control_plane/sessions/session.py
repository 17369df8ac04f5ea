"""One session of a browser: who it is of, and until when. Pure."""

import secrets
from datetime import datetime, timedelta
from typing import Final, Self

from attrs import evolve, field, frozen

from control_plane.operators.operators import AuthenticatedOperator

LIFETIME: Final = timedelta(hours=12)  # a working day; then the operator signs in again
IDLE: Final = timedelta(minutes=30)  # without a request
NOTED_EVERY: Final = timedelta(minutes=1)  # how often at most a use is noted
_ID_BYTES: Final = 16
_FORM_TOKEN_BYTES: Final = 16


@frozen
class Session:
    """A session, as its cookie has it under seal.

    `token_sha256` is the hash of the operator's token that it was begun with: the session lasts no
    longer than that token. It is None if no token was used, as in single sign-on.
    """

    id: str  # hexadecimal
    operator: AuthenticatedOperator  # as at the sign-in
    began_at: datetime
    ends_at: datetime
    used_at: datetime
    form_token: str = field(repr=False)  # every form of this session bears it
    token_sha256: str | None = field(repr=False)

    @classmethod
    def begin(
        cls, operator: AuthenticatedOperator, at: datetime, *, token_sha256: str | None
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
        )

    def why_ended(self, at: datetime) -> str | None:
        """Return in words why the session is over at this time; None if it is not."""
        if at >= self.ends_at:
            return f"your session ended {int(LIFETIME / timedelta(hours=1))} hours after it began"
        if at >= self.used_at + IDLE:
            minutes = int(IDLE / timedelta(minutes=1))
            return f"your session ended, because it was not used for {minutes} minutes"
        return None

    def used(self, at: datetime) -> Self:
        """Return the session with this use noted, or as it is if a use was noted lately."""
        return evolve(self, used_at=at) if at >= self.used_at + NOTED_EVERY else self
