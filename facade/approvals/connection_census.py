"""How many approved connections there are now, by the key that opens their secrets.

Pure. Nobody is told when an approval ends, so the end of each is kept. Adding, removing and
counting cost next to nothing, however many there are.
"""

from bisect import bisect_right, insort
from datetime import UTC, datetime
from math import inf

from attrs import define, field, frozen

from shared.approved_connection import ApprovedConnection


@frozen
class SealedTo:
    """What a connection's secret is sealed to."""

    key_id: str
    suite: str


@frozen
class Counted:
    """What the census has to know of a connection."""

    sealed_to: SealedTo | None  # None: it has no secret
    end: float  # of its approval, in Unix seconds; infinite if it has none


@define
class ConnectionCensus:
    """Approved connections, including those whose approval has ended."""

    # When each ends, in Unix seconds, sorted; None: connections that need no secret.
    _ends: dict[SealedTo | None, list[float]] = field(factory=dict, init=False)

    def add(self, connection: Counted) -> None:
        """Count a connection."""
        insort(self._ends.setdefault(connection.sealed_to, []), connection.end)

    def remove(self, connection: Counted) -> None:
        """Remove a connection that was added."""
        ends = self._ends[connection.sealed_to]
        del ends[bisect_right(ends, connection.end) - 1]
        if not ends:
            del self._ends[connection.sealed_to]

    def serving(self, now: datetime) -> dict[SealedTo | None, int]:
        """Return how many have not ended, by what their secrets are sealed to."""
        moment = now.timestamp()
        return {key: len(ends) - bisect_right(ends, moment) for key, ends in self._ends.items()}

    def ended(self, now: datetime) -> int:
        """Return how many have ended, and were neither renewed nor revoked."""
        moment = now.timestamp()
        return sum(bisect_right(ends, moment) for ends in self._ends.values())

    def next_end(self, now: datetime) -> datetime | None:
        """Return when the next one will end; None if none ever does."""
        moment = now.timestamp()
        first = min(
            (
                ends[at]
                for ends in self._ends.values()
                if (at := bisect_right(ends, moment)) < len(ends)
            ),
            default=inf,
        )
        return None if first == inf else datetime.fromtimestamp(first, UTC)

    def ending(self, now: datetime, until: datetime) -> int:
        """Return how many have not ended now, but will have by then."""
        return self.ended(until) - self.ended(now)


def sealed_to(connection: ApprovedConnection) -> SealedTo | None:
    """Return what its secret is sealed to; None: it has none."""
    secret = connection.document.secret
    return None if secret is None else SealedTo(secret.key_id, secret.suite)


def counted(connection: ApprovedConnection) -> Counted:
    """Return what the census has to know of a connection."""
    return Counted(sealed_to(connection), end_of(connection.expires_at))


def end_of(expires_at: datetime | None) -> float:
    """Return when an approval ends, as the census counts."""
    return inf if expires_at is None else expires_at.timestamp()
