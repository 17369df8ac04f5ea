"""Token buckets, for a name, an address or everybody: they bound what costs others something."""

import math
from collections.abc import Callable
from typing import Final, Self

from attrs import define, field, frozen

from control_plane.errors import TooManyRequestsError
from shared.bounded_map import BoundedMap
from shared.site import site_of

CHECK_BURST: Final = 30  # a rollout's worth of connections at once
CHECKS_PER_SECOND: Final = (
    0.5  # then one every two seconds: too slow to guess passwords or map networks
)
MAX_NAMES: Final = 4096  # whose buckets are not full; one that is forgotten counts as full
_EVERYBODY: Final = "everybody"


@define
class _Bucket:
    tokens: float
    filled_at: float


@define(eq=False)
class RateLimit:
    """Takes a token for each call, or refuses the call. `what` completes "too many ..."."""

    _monotonic: Callable[[], float]
    _burst: int = field(default=CHECK_BURST, kw_only=True)
    _per_second: float = field(default=CHECKS_PER_SECOND, kw_only=True)
    _what: str = field(default="checks", kw_only=True)
    _buckets: BoundedMap[str, _Bucket] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Remember each bucket until it is full again."""
        seconds = self._burst / self._per_second
        self._buckets = BoundedMap(MAX_NAMES, seconds=seconds, clock=self._monotonic)

    def take(self, name: str) -> None:
        """Take a token of this name, or raise `TooManyRequestsError`."""
        bucket = self._filled(name)
        if bucket.tokens < 1:
            seconds = math.ceil((1 - bucket.tokens) / self._per_second)
            raise TooManyRequestsError(seconds, self._what)
        bucket.tokens -= 1
        self._buckets.set(name, bucket)

    def may_take(self, name: str) -> bool:
        """Take a token of this name; tell whether there was one."""
        try:
            self.take(name)
        except TooManyRequestsError:
            return False
        return True

    def give_back(self, name: str) -> None:
        """Undo a `take`."""
        bucket = self._filled(name)
        bucket.tokens = min(self._burst, bucket.tokens + 1)
        if bucket.tokens == self._burst:
            self._buckets.pop(name)

    def __len__(self) -> int:
        """Return how many names are remembered."""
        return len(self._buckets)

    def _filled(self, name: str) -> _Bucket:
        now = self._monotonic()
        bucket = self._buckets.get(name) or _Bucket(self._burst, now)
        gained = (now - bucket.filled_at) * self._per_second
        bucket.tokens, bucket.filled_at = min(self._burst, bucket.tokens + gained), now
        return bucket


@frozen
class StrangersRate:
    """A bucket for each address of strangers, and one for all of them together."""

    _by_site: RateLimit | None  # None: behind a TLS proxy everybody has one address
    _in_all: RateLimit

    @classmethod
    def of(
        cls,
        of_site: tuple[int, float],
        in_all: tuple[int, float],
        monotonic: Callable[[], float],
        *,
        behind_proxy: bool,
    ) -> Self:
        """Return full buckets; each pair is how many at once, and then how many a second."""
        limits = [
            RateLimit(monotonic, burst=burst, per_second=per_second)
            for burst, per_second in (of_site, in_all)
        ]
        return cls(None if behind_proxy else limits[0], limits[1])

    def may_take(self, peer: str | None) -> bool:
        """Take a token of the address and one of everybody; tell whether there were both."""
        is_within_share = self._by_site is None or self._by_site.may_take(site_of(peer or ""))
        return is_within_share and self._in_all.may_take(_EVERYBODY)
