"""The states of a blob that arrives, and every transition between them. Pure.

                    the registry            digest and
                    gives it                length agree          moved to its place
    WAITING ─────────────────► ARRIVING ─────────────────► PROVEN ─────────────────► KEPT
       │                          │                          │
       └──────────────────────────┴─────► FAILED ◄───────────┘
                                          (with its cause)

Everything that changes the state is `ArrivalMachine.advance` and `fail`. KEPT and FAILED are the
end. What was PROVEN stays right: if it is not kept, its readers read it to the end all the same.
"""

from enum import Enum, auto
from typing import Final

from attrs import define, field


class ArrivalState(Enum):
    """How far a blob has come."""

    WAITING = auto()  # the registry was asked, and nobody may read yet
    ARRIVING = auto()  # the registry gives it: whoever has a right reads along
    PROVEN = auto()  # digest and length agree: whatever was read of it was right
    KEPT = auto()  # stored
    FAILED = auto()  # no more will come; if it was not proven, nobody knows what it was


_NEXT: Final = {
    ArrivalState.WAITING: {ArrivalState.ARRIVING, ArrivalState.FAILED},
    ArrivalState.ARRIVING: {ArrivalState.PROVEN, ArrivalState.FAILED},
    ArrivalState.PROVEN: {ArrivalState.KEPT, ArrivalState.FAILED},
    ArrivalState.KEPT: set[ArrivalState](),
    ArrivalState.FAILED: set[ArrivalState](),
}


@define(eq=False)
class ArrivalMachine:
    """The state of one arriving blob."""

    state: ArrivalState = field(default=ArrivalState.WAITING, init=False)
    is_proven: bool = field(default=False, init=False)  # it stays so
    cause: BaseException | None = field(default=None, init=False)  # of FAILED

    @property
    def is_over(self) -> bool:
        """Whether nothing changes any more."""
        return not _NEXT[self.state]

    def advance(self, state: ArrivalState) -> None:
        """Go on to the next state; raise `RuntimeError` if it is none."""
        if state not in _NEXT[self.state]:
            raise RuntimeError(f"{state.name} does not follow {self.state.name}")
        self.state = state
        self.is_proven = self.is_proven or state is ArrivalState.PROVEN

    def fail(self, cause: BaseException) -> None:
        """Go on to FAILED, because of this."""
        self.advance(ArrivalState.FAILED)
        self.cause = cause
