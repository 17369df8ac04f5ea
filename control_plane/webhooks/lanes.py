"""What of one target waits to be sent, in which order, and when it is tried again. Pure.

Events with the same key (a connection, a device) are a *lane*: each is sent once the one before it
was. Lanes do not wait for one another:

- A lane whose event failed waits alone, twice as long after each failure.
- While the last answer of all was a failure, one event at a time is tried, in turn of the lanes,
  with a pause between them. So a target that is away costs one request a minute.
- The first success after several failures lets every lane go on at once.

At most `MAX_WAITING` events wait. More are read from the audit log when fewer than
`READ_ON_BELOW` wait: each reading walks all that is unread. That is how far a lane that fails can
hold others up: not before so many of its events wait.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Generic, Protocol, TypeVar

from attrs import define, field

from shared.jitter import jittered

MAX_WAITING: Final = 1000  # events of a target; 300 bytes each, and 80 in its position
READ_ON_BELOW: Final = 500
MAX_IN_FLIGHT: Final = 4  # requests to a target at once
FIRST_RETRY_SECONDS: Final = 2.0  # jittered; a receiver that was restarted is back by then
MAX_RETRY_SECONDS: Final = 3600.0  # jittered; one event of a target that answers others
FIRST_PAUSE_SECONDS: Final = 1.0  # jittered; between tries of a target whose last answer failed
MAX_PAUSE_SECONDS: Final = 60.0  # jittered; a target that was away is found again within so long
AWAY_AFTER: Final = 3  # failures one after the other: then it is the target, not one event


class Keyed(Protocol):
    """What waits in a lane."""

    @property
    def lane(self) -> str:
        """The lane's key."""


_Event = TypeVar("_Event", bound=Keyed)


@define(eq=False)
class _Lane(Generic[_Event]):
    events: deque[_Event] = field(factory=deque)
    failures: int = 0
    not_before: float = -math.inf
    is_in_flight: bool = False


@define(eq=False)
class Lanes(Generic[_Event]):
    """The waiting events of one target. Times are those of a monotonic clock, in seconds."""

    _clock: Callable[[], float]
    _jittered: Callable[[float], float] = jittered
    _lanes: dict[str, _Lane[_Event]] = field(factory=dict, init=False)  # in turn
    _failures: int = field(default=0, init=False)  # since the last success
    _not_before: float = field(default=-math.inf, init=False)
    _in_flight: int = field(default=0, init=False)

    def __len__(self) -> int:
        """Return how many wait, those in flight among them."""
        return sum(len(lane.events) for lane in self._lanes.values())

    def __iter__(self) -> Iterator[_Event]:
        """Yield all that wait."""
        return (event for lane in self._lanes.values() for event in lane.events)

    @property
    def room(self) -> int:
        """How many more may wait; none until many have been sent."""
        waiting = len(self)
        return MAX_WAITING - waiting if waiting < READ_ON_BELOW else 0

    @property
    def failures(self) -> int:
        """How many tries failed since the last success."""
        return self._failures

    def put(self, event: _Event) -> None:
        """Have an event wait behind those of its lane."""
        self._lanes.setdefault(event.lane, _Lane()).events.append(event)

    def take(self) -> _Event | None:
        """Return the next event to try now, which is in flight from then on; None if none is."""
        if self._in_flight >= (1 if self._failures else MAX_IN_FLIGHT):
            return None
        now = self._clock()
        if now < self._not_before:
            return None
        for key, lane in self._lanes.items():
            if not lane.is_in_flight and now >= lane.not_before:
                lane.is_in_flight = True
                self._in_flight += 1
                self._lanes[key] = self._lanes.pop(key)  # its next turn is after all others'
                return lane.events[0]
        return None

    def seconds_until_next(self) -> float:
        """Return after how long `take` may have something; infinity if nothing waits."""
        free = [lane.not_before for lane in self._lanes.values() if not lane.is_in_flight]
        if not free:
            return math.inf
        return max(0.0, max(min(free), self._not_before) - self._clock())

    def retry_at_once(self) -> None:
        """Have everything tried that waits, because somebody asked, or the target is back."""
        self._failures, self._not_before = 0, -math.inf
        for lane in self._lanes.values():
            lane.failures, lane.not_before = 0, -math.inf

    def sent(self, event: _Event) -> None:
        """Take an event out, which the target has now."""
        if self._failures >= AWAY_AFTER:
            self.retry_at_once()
        self._failures, self._not_before = 0, -math.inf
        self.not_sent(event)

    def not_sent(self, event: _Event) -> None:
        """Take an event in flight out that is not to be sent."""
        self._landed(event)
        self.drop(event)

    def drop(self, event: _Event) -> None:
        """Take the first event of a lane out, which has landed and is not sent any more."""
        lane = self._lanes[event.lane]
        lane.events.popleft()
        lane.failures, lane.not_before = 0, -math.inf
        if not lane.events:
            del self._lanes[event.lane]

    def failed(self, event: _Event, retry_after: float | None = None) -> None:
        """Have an event tried again later: the target may say that nothing is sent before."""
        lane = self._landed(event)
        now = self._clock()
        pause = min(FIRST_PAUSE_SECONDS * 2**self._failures, MAX_PAUSE_SECONDS)
        wait = min(FIRST_RETRY_SECONDS * 2**lane.failures, MAX_RETRY_SECONDS)
        lane.failures, self._failures = min(lane.failures + 1, 32), min(self._failures + 1, 32)
        lane.not_before = now + self._jittered(wait)
        self._not_before = now + self._jittered(pause)
        if retry_after is not None:
            self._not_before = max(self._not_before, now + retry_after)

    def put_back(self, event: _Event) -> None:
        """Have an event wait again whose try was ended before it had an answer."""
        self._landed(event)

    def _landed(self, event: _Event) -> _Lane[_Event]:
        lane = self._lanes[event.lane]
        lane.is_in_flight = False
        self._in_flight -= 1
        return lane
