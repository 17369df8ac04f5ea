"""A short-lived value that is renewed on demand: one cache slot, for a token or a credential.

- Kept until shortly before it expires, on a monotonic clock; renewed ahead in the background
  while it is in use.
- One renewal is in flight; a waiter's cancellation is nobody else's failure.
- A refusal is remembered for a short time: a wrong password that every device tries again locks
  the account. So is a failure that names its `Retry-After`, and, shorter, an answer that is none:
  no circuit breaker counts it. Of others the next asker tries again; while there is a value in
  hand, after a pause.
- A renewal that fails because of what it depends on (a token, because the credential is refused)
  is remembered no longer than that.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, NoReturn, TypeVar

from attrs import define, field, frozen

from facade.loop.outcome import Failed
from facade.loop.shared_work import SharedWork
from facade.registries.refusals import LastRefusal, Refusal, RememberedRefusal, StillRefusedError
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
EXPIRY_MARGIN_SHARE: Final = 0.2  # of a lifetime so short that 30 s would leave nothing
RENEW_AHEAD_SHARE: Final = 0.75  # of the usable time; then an asker starts the next renewal
AHEAD_PAUSE_SECONDS: Final = 10.0  # jittered; between failed renewals that nobody waits for
FORCED_INTERVAL_SECONDS: Final = 60.0  # invented repositories are answered 401 too

_Value = TypeVar("_Value")
TellOfRenewal = Callable[[BaseException | None], None]  # how each failed; None: it did not


@frozen
class Lasting(Generic[_Value]):
    """A value and for how many seconds from now it holds; None: without an end."""

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
        """Forget a value that had been given out and was refused.

        False where no renewal may be forced: none of this slot was ever accepted (it is then
        what was asked for that is refused), or one was forced within the last minute.
        """
        if self._held is None or self._held.value != refused:
            return True  # renewed meanwhile
        now = self._clock()
        if not self.is_proven or now - self._forced_at < FORCED_INTERVAL_SECONDS:
            return False
        self._forced_at, self._held = now, None
        return True

    async def renew_beside(self, refused: _Value) -> bool:
        """Renew a value that was refused to somebody, of whom nobody knows whether it is right.

        It stays in hand until there is another one: a device may have made up what it is refused
        for, and takes it from nobody, though it cannot be renewed. Nor does this use up what `drop`
        may force. Returns whether there is another one; false also where `drop` returns so.
        """
        if self._held is None or self._held.value != refused:
            return True
        now = self._clock()
        was_forced = now - self._forced_beside_at < FORCED_INTERVAL_SECONDS
        if not self.is_proven or (was_forced and self._renewing is None):
            return False
        self._forced_beside_at = now
        return not isinstance(await self._start_renewal().outcome(), Failed)

    def refuse(self, refusal: Refusal) -> None:
        """Forget the value, and fail with this refusal for a while."""
        self._held = None
        self._refused.remember(refusal)

    @property
    def refusal(self) -> RememberedRefusal | None:
        """The refusal that still holds; `get` raises it where there is no value in hand."""
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
        """End a renewal that is under way: what it asks for is of no use any more, and ask no more.

        How to renew is let go of: it holds whom it asks, and they hold this.
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
