"""How far a device's connection is. A request that is answered at once leaves it where it is.

               a request has come
AWAITING ───────────────────────────────► ANSWERING ──┐
 │  ▲                                      │ │ │ ▲    │ it is answered,
 │  └──────────────────────────────────────┘ │ │ └────┘ and the next one waits
 │        it is answered, and none waits     │ │
 │                                           │ └─────► LAST
 │ idle for too long, old,                   │ told to   │
 │ or told to finish                         │ finish    │ it is answered
 ▼                                           ▼           │
ENDED ◄──────────────────────────────────────────────────┘
    it was the last one, or its answer failed; from everywhere: cut, or the device has gone
"""

from enum import IntEnum, auto
from typing import Final


class Stage(IntEnum):
    """How far a connection is. The drawing above says what leads from one to the next."""

    AWAITING = auto()  # every request that came whole is answered
    ANSWERING = auto()  # one is answered; others may wait behind it
    LAST = auto()  # one is answered; nothing that comes is read as a request any more
    ENDED = auto()  # nothing is answered any more

    def require_next(self, stage: "Stage") -> None:
        """Raise `RuntimeError` if the stage does not follow this one."""
        if stage not in _NEXT[self]:
            raise RuntimeError(f"{stage.name} does not follow {self.name}")


_NEXT: Final = {
    Stage.AWAITING: {Stage.ANSWERING, Stage.ENDED},
    Stage.ANSWERING: {Stage.AWAITING, Stage.LAST, Stage.ENDED},
    Stage.LAST: {Stage.ENDED},
    Stage.ENDED: {Stage.ENDED},  # it is closed, and then it is lost
}
