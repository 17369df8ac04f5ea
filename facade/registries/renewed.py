"""A short-lived value that is renewed on demand: one cache slot, for a token or a credential.

- It is kept until shortly before it expires, on a monotonic clock. While it is in use, it is
  renewed ahead of time in the background.
- One renewal is in flight at a time. If one who waits is cancelled, the others go on.
- A refusal is remembered for a short time, because a wrong password that every device tries again
  locks the account. So is a failure that names its `Retry-After`, and, for less time, nonsense in
  place of an answer, which no circuit breaker counts. After other failures the next asker tries
  again; while there is a value in hand, after a pause.
- If a renewal fails because of what it depends on (a token, because the credential is refused),
  that is remembered for no longer than the other failure.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, NoReturn, TypeVar

from attrs import define, field, frozen

from facade.loop.outcome import Failed
from facade.loop.shared_work import SharedWork
from facade.registries.refusals import (
    LastRefusal,
    RememberedRefusal,
    StillRefusedError,
    UpstreamRefusal,
)
from shared.failures import without_frames
from shared.jitter import jittered
from shared.upstream.errors import (
    ClosedUnansweredError,
    CredentialRefusedError,
    NotNowError,
    PolicyDeniedError,
    RateLimitedError,
    RealmNotAllowedError,
    RedirectRefusedError,
    ServerError,
    TokenExchangeError,
    UnexpectedAnswerError,
    UpstreamError,
)

EXPIRY_MARGIN_SECONDS: Final = 30.0  # a token must outlast the request that it is sent with
EXPIRY_MARGIN_SHARE: Final = 0.2  # of the lifetime, if it is so short that 30 s would leave nothing
RENEW_AHEAD_SHARE: Final = 0.75  # of the usable time; from then on an asker starts the next renewal
AHEAD_PAUSE_SECONDS: Final = 10.0  # jittered; after a failed renewal that nobody waited for
FORCED_INTERVAL_SECONDS: Final = 60.0  # because invented repositories are answered 401, too

_Value = TypeVar("_Value")
TellOfRenewal = Callable[[BaseException | None], None]  # how each failed; None: it did not


@frozen
class Lasting(Generic[_Value]):
    """A value, and for how many seconds from now it holds; None: for ever."""

    value: _Value
    lifetime_seconds: float | None


@frozen
class _Held(Generic[_Value]):
    value: _Value
    renew_at: float  # monotonic, like all times here
    expires_at: float


@define(eq=False)
class Renewed(Generic[_Value]):
    """One value and how to renew it. For one event loop."""

    _renew: Callable[[], Awaitable[Lasting[_Value]]]
    _clock: Callable[[], float] = time.monotonic
    _tell: TellOfRenewal = lambda _: None
    is_proven: bool = field(default=False, init=False)  # a value of this slot was accepted once
    _held: _Held[_Value] | None = field(default=None, init=False)
    _refused: LastRefusal = field(init=False)
    _renewing: SharedWork[_Value] | None = field(default=None, init=False)
    _forced_at: float = field(default=float("-inf"), init=False)
    _forced_beside_at: float = field(default=float("-inf"), init=False)
    _pause_until: float = field(default=float("-inf"), init=False)

    def __attrs_post_init__(self) -> None:
        """Remember refusals by the same clock."""
        self._refused = LastRefusal(self._clock)

    def note_accepted(self) -> None:
        """Note that what was asked for accepted a value: if one is refused later, it may be old."""
        self.is_proven = True

    async def get(self) -> _Value:
        """Return the value, renewed if need be; raise what the renewal raises."""
        now = self._clock()
        if self._held is not None and now < self._held.expires_at:
            if now >= max(self._held.renew_at, self._pause_until) and self.refusal is None:
                _ = self._start_renewal()  # nobody waits for it
            return self._held.value
        self._refused.require_none()
        return await self._start_renewal().result()

    def drop(self, refused: _Value) -> bool:
        """Forget a value that was given out and was refused.

        Returns False if no renewal may be forced: no value of this slot was ever accepted (then
        what was asked for is refused), or a renewal was forced within the last minute.
        """
        if self._held is None or self._held.value != refused:
            return True  # renewed meanwhile
        now = self._clock()
        if not self.is_proven or now - self._forced_at < FORCED_INTERVAL_SECONDS:
            return False
        self._forced_at, self._held = now, None
        return True

    async def renew_beside(self, refused: _Value) -> bool:
        """Renew a value that was refused, although it may be right.

        It stays in hand until there is another one. A device may have made up what it was refused
        for, and must not take the value from the others, even if it cannot be renewed. This does
        not use up what `drop` may force. Returns whether there is another one, and False if `drop`
        would.
        """
        if self._held is None or self._held.value != refused:
            return True
        now = self._clock()
        was_forced = now - self._forced_beside_at < FORCED_INTERVAL_SECONDS
        if not self.is_proven or (was_forced and self._renewing is None):
            return False
        self._forced_beside_at = now
        return not isinstance(await self._start_renewal().outcome(), Failed)

    def refuse(self, refusal: UpstreamRefusal) -> None:
        """Forget the value, and fail with this refusal for a while."""
        self._held = None
        self._refused.remember(refusal)

    @property
    def refusal(self) -> RememberedRefusal | None:
        """The refusal that still holds. `get` raises it if there is no value in hand."""
        return self._refused.still

    @property
    def is_at_hand(self) -> bool:
        """Whether there is a value that has not expired."""
        return self._held is not None and self._clock() < self._held.expires_at

    @property
    def is_at_rest(self) -> bool:
        """Whether it is not being renewed, and nothing keeps it from being renewed."""
        now = self._clock()
        return (
            self._renewing is None
            and self.refusal is None
            and now >= max(self._pause_until, self._forced_at + FORCED_INTERVAL_SECONDS)
        )

    def close(self) -> None:
        """End a renewal that is under way, because nobody needs it any more, and begin none again.

        The function that renews is let go of, because it holds objects that hold this one.
        """
        self._renew = _closed
        if self._renewing is not None:
            self._renewing.cancel()

    def _start_renewal(self) -> SharedWork[_Value]:
        if self._renewing is None:
            self._renewing = SharedWork.begin(self._renew_once)
            self._renewing.when_over(self._told)
        return self._renewing

    async def _renew_once(self) -> _Value:
        try:
            lasting = await self._renew()
        except StillRefusedError as still:
            self._refused.keep(still.remembered)
            raise without_frames(still.remembered.refusal) from None
        except UpstreamError as error:
            self._note_failure(error)
            raise
        finally:
            self._renewing = None
        now, usable = self._clock(), _usable_seconds(lasting.lifetime_seconds)
        self._held = _Held(lasting.value, now + usable * RENEW_AHEAD_SHARE, now + usable)
        return lasting.value

    def _told(self, outcome: _Value | Failed) -> None:
        self._tell(outcome.own() if isinstance(outcome, Failed) else None)

    def _note_failure(self, error: UpstreamError) -> None:
        self._pause_until = self._clock() + jittered(AHEAD_PAUSE_SECONDS)
        match error:
            case CredentialRefusedError() | PolicyDeniedError() | RateLimitedError():
                self._refused.remember(error)
            case ServerError(retry_after=float()) | NotNowError(retry_after=float()):
                self._refused.remember(error)
            case TokenExchangeError() | UnexpectedAnswerError():
                self._refused.remember(error)
            case RealmNotAllowedError() | RedirectRefusedError():  # where its redirects lead
                self._refused.remember(error)
            case _:
                pass


async def _closed() -> NoReturn:
    raise ClosedUnansweredError("the connection's client is closed")


def _usable_seconds(lifetime: float | None) -> float:
    if lifetime is None:
        return float("inf")
    return lifetime - min(EXPIRY_MARGIN_SECONDS, lifetime * EXPIRY_MARGIN_SHARE)
