"""A token bucket for each operator: how often the registries of others may be asked to log in."""

import math
from collections.abc import Callable
from typing import Final

from attrs import define

from control_plane.errors import TooManyRequestsError

CHECK_BURST: Final = 30  # a rollout's worth of connections at once
CHECKS_PER_SECOND: Final = (
    0.5  # then one in two seconds: too slow to guess passwords or map networks
)


@define
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """Takes one token for each call, or refuses."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        *,
        burst: int = CHECK_BURST,
        per_second: float = CHECKS_PER_SECOND,
    ) -> None:
        """Hold the clock and the bounds."""
        self._monotonic = monotonic
        self._burst = burst
        self._per_second = per_second
        self._buckets: dict[str, _Bucket] = {}  # one for each operator who ever asked

    def take(self, name: str) -> None:
        """Take a token of this name, or raise `TooManyRequestsError`."""
        now = self._monotonic()
        bucket = self._buckets.setdefault(name, _Bucket(self._burst, now))
        gained = (now - bucket.filled_at) * self._per_second
        bucket.tokens, bucket.filled_at = min(self._burst, bucket.tokens + gained), now
        if bucket.tokens < 1:
            raise TooManyRequestsError(math.ceil((1 - bucket.tokens) / self._per_second))
        bucket.tokens -= 1
