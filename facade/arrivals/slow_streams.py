"""Which of several streams of a blob is so much slower than the others that it is left. Pure.

Whoever reads the blob in order waits for the slowest. So a stream that is dead, or brings a small
part of what one brings on average, is left, and what it had not brought is fetched anew. The
registry's own limits on silence are longer: they are for a stream that nothing can be compared to.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from attrs import define, field, frozen

COMPARED_SECONDS: Final = 2.0
SLOW_SHARE: Final = 0.25  # of what one brings on average
WORTH_SECONDS: Final = 2.0  # if it has less left than it brings in this time, it may go on
# An answer may begin late, but not so many times later than the slowest one that has begun.
LATE_TIMES: Final = 4.0
LATE_SECONDS: Final = 2.0  # and so much more
MAX_LEFT: Final = 4  # of one blob; then it comes in one stream, with the patience that one has


class Comparable(Protocol):
    """A stream that is compared with others."""

    @property
    def reached(self) -> int:
        """Bytes before it have come."""

    @property
    def end(self) -> int:
        """The offset behind its last byte."""

    @property
    def has_begun(self) -> bool:
        """Whether some of it has come."""


@frozen
class _Mark:
    at: float  # seconds, monotonic
    reached: int


@define(eq=False)
class _Watched:
    asked_at: float
    mark: _Mark | None = None  # None: it has not begun
    rate: float | None = None  # bytes a second; None: it is not watched for long enough


@define(eq=False)
class SlowStreams:
    """The comparison of the streams of one blob, while there are several."""

    left: int = field(default=0, init=False)  # how many were too slow
    _watched: dict[Comparable, _Watched] = field(factory=dict, init=False)
    _latest_begin: float = field(default=0.0, init=False)  # seconds, of those that have begun

    @property
    def may_leave(self) -> bool:
        """Whether one more may be left."""
        return self.left < MAX_LEFT

    def slowest(
        self, now: float, streams: Iterable[Comparable], average: float
    ) -> Comparable | None:
        """Return the stream to leave; None if none is much slower than the others.

        `average`: bytes a second that one of them brings.
        """
        self._watched = {each: self._watched.get(each) or _Watched(now) for each in streams}
        for stream, watched in self._watched.items():
            self._note(now, stream, watched)
        for stream, watched in self._watched.items():
            if average and self._is_slow(now, stream, watched, average):
                self.left += 1
                return stream
        return None

    def _note(self, now: float, stream: Comparable, watched: _Watched) -> None:
        if not stream.has_begun:
            return
        if watched.mark is None:
            self._latest_begin = max(self._latest_begin, now - watched.asked_at)
            watched.mark = _Mark(now, stream.reached)
        elif (seconds := now - watched.mark.at) >= COMPARED_SECONDS:
            watched.rate = (stream.reached - watched.mark.reached) / seconds
            watched.mark = _Mark(now, stream.reached)

    def _is_slow(self, now: float, stream: Comparable, watched: _Watched, average: float) -> bool:
        if watched.mark is None:
            return now - watched.asked_at > LATE_TIMES * self._latest_begin + LATE_SECONDS
        if watched.rate is None or watched.rate >= SLOW_SHARE * average:
            return False
        return stream.end - stream.reached > WORTH_SECONDS * watched.rate
