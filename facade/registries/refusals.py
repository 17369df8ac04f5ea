"""Refusals remembered for a short, jittered time, each for its own key; bounded."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from attrs import define, field, frozen

from shared.jitter import jittered
from shared.upstream.errors import (
    CredentialRefusedError,
    RateLimitedError,
    ServerError,
    TokenExchangeError,
    UnexpectedAnswerError,
)

REFUSAL_SECONDS: Final = 30.0  # jittered down to half; below any lockout's usual counting window
# Jittered, too: an endpoint that answers, but not with a token, is restarting or wrongly set up.
NONSENSE_SECONDS: Final = 10.0
MAX_REFUSALS: Final = 4096  # of one connection; the oldest is forgotten

Refusal = (
    CredentialRefusedError
    | RateLimitedError
    | ServerError  # with Retry-After
    | TokenExchangeError
    | UnexpectedAnswerError
)
_Key = TypeVar("_Key", bound=Hashable)


@frozen
class _Remembered:
    refusal: Refusal
    until: float  # monotonic


@define(eq=False)
class Refusals(Generic[_Key]):
    """What was refused lately, so that not every device asks again."""

    _clock: Callable[[], float] = time.monotonic
    _remembered: OrderedDict[_Key, _Remembered] = field(factory=OrderedDict, init=False)

    def remember(self, key: _Key, refusal: Refusal) -> None:
        """Remember a refusal for as long as it asks to be, or for some half a minute."""
        self._remembered[key] = _Remembered(refusal, self._clock() + _seconds_of(refusal))
        self._remembered.move_to_end(key)
        while len(self._remembered) > MAX_REFUSALS:
            self._remembered.popitem(last=False)

    def holds(self, key: _Key) -> bool:
        """Tell whether a refusal of this key still holds."""
        remembered = self._remembered.get(key)
        return remembered is not None and self._clock() < remembered.until

    def require_none(self, key: _Key) -> None:
        """Raise the refusal that still holds for a key."""
        if self.holds(key):
            # without the traceback, which would grow with every time that it is raised
            raise self._remembered[key].refusal.with_traceback(None) from None


def _seconds_of(refusal: Refusal) -> float:
    match refusal:
        case RateLimitedError(retry_after=float(asked)) | ServerError(retry_after=float(asked)):
            return asked
        case TokenExchangeError() | UnexpectedAnswerError():
            return jittered(NONSENSE_SECONDS)
        case _:
            return jittered(REFUSAL_SECONDS)
