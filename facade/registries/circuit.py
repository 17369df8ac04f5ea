"""One circuit: what fails too often is left alone for a while, then one request tries. Pure.

```
            failed enough                     the wait is over, one begins
  CLOSED ------------------->  OPEN  ------------------------------------>  TRYING
    ^                           ^ ^    the trial failed: waits twice as long  | |
    |                           | +--------------------------------------------+
    |                           +----- the trial said nothing: the next may begin
    +-------------- it worked: from OPEN and from TRYING
```

A trial that takes longer than `TRIAL_SECONDS` goes on, but another one may begin beside it. So a
request that is never answered does not keep the others from trying.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final, assert_never

from attrs import define, field

from shared.jitter import jittered

FIRST_WAIT_SECONDS: Final = 1.0
MAX_WAIT_SECONDS: Final = 30.0  # a registry that is back is used again within half a minute
TRIAL_SECONDS: Final = 5.0  # most registries have answered by then


class State(Enum):
    """Whether it may be asked."""

    CLOSED = auto()  # everybody may ask
    OPEN = auto()  # nobody may ask until the wait is over
    TRYING = auto()  # one request tries


class Event(Enum):
    """What happens to it."""

    FAILED_ENOUGH = auto()
    BEGAN = auto()  # a trial
    TRIAL_FAILED = auto()
    TRIAL_SAID_NOTHING = auto()  # its device left, or the answer was about something else
    WORKED = auto()


_MOVES: Final = {
    (State.CLOSED, Event.FAILED_ENOUGH): State.OPEN,
    (State.OPEN, Event.BEGAN): State.TRYING,
    (State.TRYING, Event.BEGAN): State.TRYING,
    (State.TRYING, Event.TRIAL_FAILED): State.OPEN,
    (State.TRYING, Event.TRIAL_SAID_NOTHING): State.OPEN,
    (State.OPEN, Event.WORKED): State.CLOSED,
    (State.TRYING, Event.WORKED): State.CLOSED,
}


@define(eq=False)
class Circuit:
    """The state of one registry, one digest or one device."""

    _clock: Callable[[], float]  # monotonic
    state: State = field(default=State.CLOSED, init=False)
    _wait: float = field(default=FIRST_WAIT_SECONDS, init=False)
    _until: float = field(default=float("-inf"), init=False)
    _trial: int = field(default=0, init=False)  # the number of the last one

    @property
    def is_open(self) -> bool:
        """Whether it is not asked by everybody."""
        return self.state is not State.CLOSED

    @property
    def left(self) -> float:
        """In how many seconds a request may begin; 0: now."""
        return max(0.0, self._until - self._clock()) if self.is_open else 0.0

    def open(self) -> None:
        """Leave it alone for a while. A circuit that is open already does not change."""
        self._move(Event.FAILED_ENOUGH)

    def begin(self) -> int | None:
        """Begin a request once the wait is over; return its number if it is a trial."""
        if not self.is_open:
            return None
        self._move(Event.BEGAN)
        self._trial += 1
        return self._trial

    def failed(self, trial: int) -> None:
        """Note that a trial failed. It does not count if it took so long that another began."""
        if trial == self._trial:
            self._move(Event.TRIAL_FAILED)

    def said_nothing(self, trial: int) -> None:
        """Note that a trial ended without showing anything."""
        if trial == self._trial:
            self._move(Event.TRIAL_SAID_NOTHING)

    def worked(self) -> None:
        """Note that it is well."""
        self._move(Event.WORKED)

    def _move(self, event: Event) -> None:
        """Go to the next state, if the event leads to one. Only this changes the state."""
        state = _MOVES.get((self.state, event))
        if state is None:
            return
        self.state, now = state, self._clock()
        match event:
            case Event.FAILED_ENOUGH:
                self._wait = FIRST_WAIT_SECONDS
                self._until = now + jittered(self._wait)
            case Event.BEGAN:
                self._until = now + TRIAL_SECONDS
            case Event.TRIAL_FAILED:
                self._wait = min(self._wait * 2, MAX_WAIT_SECONDS)
                self._until = now + jittered(self._wait)
            case Event.TRIAL_SAID_NOTHING | Event.WORKED:
                self._until = now
            case _ as unreachable:
                assert_never(unreachable)
