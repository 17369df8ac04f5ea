"""A digest whose bytes came wrong is not downloaded again at once. Pure, with the clock given.

A registry or proxy that corrupts a blob would otherwise send all of it to every device that tries
again. It gets another chance after about a second, then after twice as long, up to a minute. Each
upstream, and so each access key, has a memory of its own, because another connection's bytes may be
right. So may another repository's; and who asks there must not see that this one was asked.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from attrs import define, field, frozen

from facade.values.piece import MistoldLengthError, WrongBytesError
from shared.bounded_map import BoundedMap
from shared.jitter import jittered
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.errors import UpstreamError, WastefulAnswerError

FIRST_WAIT_SECONDS: Final = 1.5  # jittered down to half: about a second
MAX_WAIT_SECONDS: Final = 60.0  # a mended blob is found within a minute
MAX_DOUBLINGS: Final = 6  # 1.5 s * 2**6 is beyond the longest wait
MAX_BACKOFFS: Final = 4096  # of one connection, some 600 bytes each; the oldest is forgotten


_Key = tuple[Kind, RepositoryName, Digest]


class WrongBytesLatelyError(UpstreamError):
    """The registry sent wrong bytes for this digest, and is not asked for it now."""

    def __init__(self, retry_after: float) -> None:
        """Say in how many seconds it will be asked again."""
        super().__init__("the registry sent wrong bytes for this digest and is not asked for it")
        self.retry_after = retry_after


@frozen
class _Backoff:
    doublings: int
    until: float  # monotonic


@define(eq=False)
class WrongBytesBackoff:
    """Which digests came wrong through one upstream."""

    _clock: Callable[[], float]
    _backoffs: BoundedMap[_Key, _Backoff] = field(
        factory=lambda: BoundedMap(MAX_BACKOFFS), init=False
    )
    _last_end: float = field(default=float("-inf"), init=False)  # of all waits, monotonic

    @contextmanager
    def attempt(self, kind: Kind, repository: RepositoryName, digest: Digest) -> Iterator[None]:
        """Guard the download of a digest to its end.

        Raises `WrongBytesLatelyError` if it may not begin. If the block raises `WrongBytesError`,
        that is noted, and so is `WastefulAnswerError`, because the next answer would be wasteful,
        too. If it ends well, what was noted is forgotten. No other error says anything about the
        bytes, and neither does a length that another answer told.
        """
        self.require_over(kind, repository, digest)
        try:
            yield
        except MistoldLengthError:
            raise
        except (WrongBytesError, WastefulAnswerError):
            self._note_wrong((kind, repository, digest))
            raise
        self._backoffs.pop((kind, repository, digest))

    def require_over(self, kind: Kind, repository: RepositoryName, digest: Digest) -> None:
        """Raise `WrongBytesLatelyError` if the digest came wrong a short while ago."""
        backoff = self._backoffs.get((kind, repository, digest))
        if backoff is not None and (left := backoff.until - self._clock()) > 0:
            raise WrongBytesLatelyError(left)

    @property
    def count(self) -> int:
        """How many are remembered."""
        return len(self._backoffs)

    @property
    def holds_some(self) -> bool:
        """Whether a wait is not over yet."""
        return self._last_end > self._clock()

    def _note_wrong(self, key: _Key) -> None:
        before, now = self._backoffs.get(key), self._clock()
        if before is None or before.until <= now:
            doublings = before.doublings + 1 if before else 0
            wait = jittered(min(FIRST_WAIT_SECONDS * 2**doublings, MAX_WAIT_SECONDS))
            before = _Backoff(min(doublings, MAX_DOUBLINGS), now + wait)
            self._last_end = max(self._last_end, before.until)
        self._backoffs.set(key, before)  # of attempts that went wrong together, the first counts
