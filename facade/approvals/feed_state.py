"""How far the database has been read, and every transition. Pure.

                the state folder                 the database
                   was read                     was read whole
    STARTING ────────────────► RESTORED ────────────────────────► FOLLOWING ◄─┐
                                   │                               ▲   │      │ read whole
                                   │ it cannot be      read whole  │   └──► LOST
                                   │     read                      │     it cannot be read
                                   └───────────────► UNREAD ───────┘

Everything that changes the state is `FeedMachine.restored`, `read` and `failed`. Whoever reads or
fails again stays where it is. Only in FOLLOWING does the snapshot say what the database says.
"""

from enum import Enum, auto
from typing import Final

from attrs import define, field


class FeedState(Enum):
    """What is known of the database."""

    STARTING = auto()  # nothing: the state folder is being read
    RESTORED = auto()  # what the state folder remembers
    FOLLOWING = auto()  # all of it; changes are taken in as they are made
    UNREAD = auto()  # what the state folder remembers: it cannot be read, and never was
    LOST = auto()  # what was read before: it cannot be read now

    @property
    def was_tried(self) -> bool:
        """Whether this process has read the database, or failed to."""
        return self in {FeedState.FOLLOWING, FeedState.UNREAD, FeedState.LOST}

    @property
    def was_read(self) -> bool:
        """Whether this process has read the database whole."""
        return self in {FeedState.FOLLOWING, FeedState.LOST}


_NEXT: Final = {
    FeedState.STARTING: {FeedState.RESTORED},
    FeedState.RESTORED: {FeedState.FOLLOWING, FeedState.UNREAD},
    FeedState.FOLLOWING: {FeedState.FOLLOWING, FeedState.LOST},
    FeedState.UNREAD: {FeedState.UNREAD, FeedState.FOLLOWING},
    FeedState.LOST: {FeedState.LOST, FeedState.FOLLOWING},
}


@define(eq=False)
class FeedMachine:
    """The state of one feed."""

    state: FeedState = field(default=FeedState.STARTING, init=False)
    problem: str | None = field(default="the state folder was not read yet", init=False)

    def restored(self) -> None:
        """Note that the state folder was read."""
        self._advance(FeedState.RESTORED, "the database was not read yet")

    def read(self) -> bool:
        """Note that the database was read whole; tell whether it was not read before that."""
        before = self.state
        self._advance(FeedState.FOLLOWING, None)
        return before is not self.state

    def failed(self, why: str) -> bool:
        """Note that the database cannot be read, and why; tell whether that is new."""
        before = self.state, self.problem
        self._advance(FeedState.LOST if self.state.was_read else FeedState.UNREAD, why)
        return before != (self.state, self.problem)

    def _advance(self, state: FeedState, problem: str | None) -> None:
        """Go on to a state; raise `RuntimeError` if it does not follow."""
        if state not in _NEXT[self.state]:
            raise RuntimeError(f"{state.name} does not follow {self.state.name}")
        self.state, self.problem = state, problem
