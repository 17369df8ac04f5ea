"""What one device has spent at one registry: requests, tokens, bytes. Pure.

It is counted when it is spent, because nobody knows in advance how many requests a pull will take:
a login, a token, redirects, a resume. So a device may come to owe something. That ends nothing that
runs, but the next question to the registry waits, or is refused, until it is earned.

Each registry counts separately. If one breaks every answer, and is asked again and again, that uses
up nothing of what the device may ask of others.
"""

from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from shared.pace import Pace

SECONDS_OF_A_MINUTE: Final = 60.0
SECONDS_OF_AN_HOUR: Final = 3600.0
COUNTED_BYTES: Final = 1024 * 1024  # counted together, because counting each chunk costs time


@frozen
class SpendingLimits:
    """What one device may spend at one registry; 0 is no limit."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    bytes_per_hour: int = 0


@frozen
class Owed:
    """What a device has too much of, and for how many seconds."""

    what: str
    seconds: float


@define(eq=False)
class UpstreamSpending:
    """A device's account at one registry. It may spend a minute's or an hour's worth at once."""

    _requests: Pace | None
    _tokens: Pace | None
    _bytes: Pace | None
    _uncounted: int = field(default=0, init=False)  # bytes

    @classmethod
    def within(cls, limits: SpendingLimits, clock: Callable[[], float]) -> "UpstreamSpending":
        """Return an account from which nothing was spent."""
        return cls(
            _pace(limits.requests_per_minute, SECONDS_OF_A_MINUTE, clock),
            _pace(limits.tokens_per_minute, SECONDS_OF_A_MINUTE, clock),
            _pace(limits.bytes_per_hour, SECONDS_OF_AN_HOUR, clock),
        )

    def spend_request(self) -> None:
        """Count a request."""
        if self._requests is not None:
            self._requests.take(1)

    def spend_token(self) -> None:
        """Count a token."""
        if self._tokens is not None:
            self._tokens.take(1)

    def spend_bytes(self, count: int) -> None:
        """Count bytes."""
        self._uncounted += count
        if self._uncounted >= COUNTED_BYTES:
            self._count_bytes()

    def owed(self) -> Owed:
        """Return what takes the longest until the device may spend it again."""
        self._count_bytes()
        paces = {"requests": self._requests, "tokens": self._tokens, "bytes": self._bytes}
        return max(
            (Owed(what, pace.wait_for(1) if pace else 0.0) for what, pace in paces.items()),
            key=lambda owed: owed.seconds,
        )

    def _count_bytes(self) -> None:
        counted, self._uncounted = self._uncounted, 0
        if self._bytes is not None and counted:
            self._bytes.take(counted)


def _pace(limit: int, seconds: float, clock: Callable[[], float]) -> Pace | None:
    return Pace(limit / seconds, limit, clock) if limit else None
