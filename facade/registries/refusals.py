"""Refusals and other failures, each remembered for a short, jittered time by its key; bounded.

A refusal that is passed on keeps its end, so remembering it in two places never prolongs it.
"""

import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from attrs import define, field, frozen

from facade.errors import FacadeError
from shared.bounded_map import BoundedMap
from shared.failures import without_frames
from shared.jitter import jittered
from shared.upstream.errors import (
    ChallengeError,
    CredentialRefusedError,
    EgressRefusedError,
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

REFUSAL_SECONDS: Final = 30.0  # jittered down to half; shorter than lockouts usually count
# Jittered, too. An endpoint that answers, but not with a token, is restarting or wrongly set up.
NONSENSE_SECONDS: Final = 10.0
# Jittered, too. The endpoint is away. Shorter than the 5 s after which devices come again.
TROUBLE_SECONDS: Final = 2.0
MAX_REFUSALS: Final = 4096  # of one connection; the oldest is forgotten

UpstreamRefusal = UpstreamError
_Key = TypeVar("_Key", bound=Hashable)


def _kept(refusal: UpstreamRefusal) -> UpstreamRefusal:
    return without_frames(refusal)


@frozen
class RememberedRefusal:
    """A refusal, without frames, and until when it holds (monotonic)."""

    refusal: UpstreamRefusal = field(converter=_kept)
    until: float


class StillRefusedError(FacadeError):
    """What is asked for depends on something that is still refused."""

    def __init__(self, remembered: RememberedRefusal) -> None:
        """Hold that refusal, with its end."""
        super().__init__()
        self.remembered = remembered


@define(eq=False)
class LastRefusal:
    """The last refusal of one thing, as long as it holds."""

    _clock: Callable[[], float] = time.monotonic
    _remembered: RememberedRefusal | None = field(default=None, init=False)

    def remember(self, refusal: UpstreamRefusal) -> None:
        """Remember a refusal for as long as it names, or else as long as its kind."""
        self.keep(RememberedRefusal(refusal, self._clock() + _seconds_of(refusal)))

    def keep(self, remembered: RememberedRefusal) -> None:
        """Remember what is remembered elsewhere, but no longer than there."""
        self._remembered = remembered

    @property
    def still(self) -> RememberedRefusal | None:
        """The refusal, if it still holds."""
        remembered = self._remembered
        return remembered if remembered is not None and self._clock() < remembered.until else None

    def require_none(self) -> None:
        """Raise the refusal if it still holds."""
        if (remembered := self.still) is not None:
            raise without_frames(remembered.refusal)


@define(eq=False)
class Refusals(Generic[_Key]):
    """What was refused lately, so that not every device asks again."""

    _clock: Callable[[], float] = time.monotonic
    _remembered: BoundedMap[_Key, RememberedRefusal] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Remember by the same clock."""
        self._remembered = BoundedMap(MAX_REFUSALS, clock=self._clock)

    def remember(self, key: _Key, refusal: UpstreamRefusal, seconds: float | None = None) -> None:
        """Remember a refusal for as long as it names, or else as long as its kind.

        `seconds`: instead of that, jittered.
        """
        lasting = _seconds_of(refusal) if seconds is None else jittered(seconds)
        self.keep(key, RememberedRefusal(refusal, self._clock() + lasting))

    def keep(self, key: _Key, remembered: RememberedRefusal) -> None:
        """Remember what is remembered elsewhere, no longer than there."""
        self._remembered.set_until(key, remembered, remembered.until)

    def forget(self, key: _Key) -> None:
        """Forget a refusal that does not hold any more."""
        self._remembered.pop(key)

    def of(self, key: _Key) -> RememberedRefusal | None:
        """Return the refusal of this key that still holds."""
        return self._remembered.get(key)

    def holds(self, key: _Key) -> bool:
        """Tell whether a refusal of this key still holds."""
        return key in self._remembered

    def require_none(self, key: _Key) -> None:
        """Raise the refusal that still holds for a key."""
        if (remembered := self.of(key)) is not None:
            raise without_frames(remembered.refusal)

    @property
    def holds_some(self) -> bool:
        """Whether one still holds."""
        return len(self._remembered) > 0

    @property
    def count(self) -> int:
        """How many still hold."""
        return len(self._remembered)


def _seconds_of(refusal: UpstreamRefusal) -> float:
    match refusal:
        case (
            RateLimitedError(retry_after=float(asked))
            | ServerError(retry_after=float(asked))
            | NotNowError(retry_after=float(asked))
        ):
            return asked
        case CredentialRefusedError() | PolicyDeniedError() | RateLimitedError():
            return jittered(REFUSAL_SECONDS)
        case (
            ChallengeError()
            | EgressRefusedError()
            | RealmNotAllowedError()
            | RedirectRefusedError()
            | TokenExchangeError()
            | UnexpectedAnswerError()
        ):
            return jittered(NONSENSE_SECONDS)
        case _:  # not resolved, not connected, TLS, no answer in time, 5xx
            return jittered(TROUBLE_SECONDS)
