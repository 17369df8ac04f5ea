"""The agent's states, and the one place where it goes from one to another.

    IDLE -asked-> REFRESHING -named-> DOWNLOADING -arrived-> VERIFIED -begun-> APPLYING
     ^                | current           | refused             | interrupted      |   |
     |                | refused           | interrupted         |           applied|   |failed,
     |                | interrupted       |                     |                  |   |exhausted
     +----------------+-------------------+---------------------+                  v   |
     |                                                            +-unhealthy- CHECKING|
     |                                                            v               |    |
     +-tidied- ROLLED_BACK <-restored- ROLLING_BACK <-------------+---------------|----+
     |                                                                    healthy v
     +-tidied----------------------------------------------------------------- COMMITTED

The journal has the state on disk before anything is done in it. A process that begins, after a
kill or a power cut, tells the machine `RESUMED`: what had only been read is read again, what had
been begun is brought to its end, one way or the other. Before APPLYING nothing on the device has
changed.
"""

from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """Where an update stands."""

    IDLE = "idle"
    REFRESHING = "refreshing"
    DOWNLOADING = "downloading"
    VERIFIED = "verified"
    APPLYING = "applying"
    CHECKING = "checking"
    COMMITTED = "committed"
    ROLLING_BACK = "rolling back"
    ROLLED_BACK = "rolled back"


class Event(StrEnum):
    """What happened in it."""

    ASKED = "asked"  # a run of `update` begins
    CURRENT = "current"  # the fleet names what is applied, or what was refused here before
    NAMED = "named"  # the fleet names another release
    REFUSED = "refused"  # somebody sent what is not to be believed
    INTERRUPTED = "interrupted"  # somebody is away, or the disk is full
    ARRIVED = "arrived"  # every byte of the release is here, and right
    BEGUN = "begun"  # the slots are about to be changed
    APPLIED = "applied"  # every slot holds the release
    FAILED = "failed"  # a slot cannot hold it
    EXHAUSTED = "exhausted"  # it was tried too often: each try ended with the machine
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    RESTORED = "restored"  # every slot holds what it held before
    TIDIED = "tidied"  # what nobody needs any more is gone
    RESUMED = "resumed"  # a process begins: the one before it may have been killed here


class ImpossibleEventError(Exception):
    """A fault of the agent itself."""


TRANSITIONS: Final[dict[tuple[Phase, Event], Phase]] = {
    (Phase.IDLE, Event.ASKED): Phase.REFRESHING,
    (Phase.REFRESHING, Event.CURRENT): Phase.IDLE,
    (Phase.REFRESHING, Event.REFUSED): Phase.IDLE,
    (Phase.REFRESHING, Event.INTERRUPTED): Phase.IDLE,
    (Phase.REFRESHING, Event.NAMED): Phase.DOWNLOADING,
    (Phase.DOWNLOADING, Event.REFUSED): Phase.IDLE,
    (Phase.DOWNLOADING, Event.INTERRUPTED): Phase.IDLE,
    (Phase.DOWNLOADING, Event.ARRIVED): Phase.VERIFIED,
    (Phase.VERIFIED, Event.INTERRUPTED): Phase.IDLE,
    (Phase.VERIFIED, Event.BEGUN): Phase.APPLYING,
    (Phase.APPLYING, Event.APPLIED): Phase.CHECKING,
    (Phase.APPLYING, Event.FAILED): Phase.ROLLING_BACK,
    (Phase.APPLYING, Event.EXHAUSTED): Phase.ROLLING_BACK,
    (Phase.CHECKING, Event.HEALTHY): Phase.COMMITTED,
    (Phase.CHECKING, Event.UNHEALTHY): Phase.ROLLING_BACK,
    (Phase.COMMITTED, Event.TIDIED): Phase.IDLE,
    (Phase.ROLLING_BACK, Event.RESTORED): Phase.ROLLED_BACK,
    (Phase.ROLLED_BACK, Event.TIDIED): Phase.IDLE,
    # After a kill.
    (Phase.IDLE, Event.RESUMED): Phase.IDLE,
    (Phase.REFRESHING, Event.RESUMED): Phase.IDLE,
    (Phase.DOWNLOADING, Event.RESUMED): Phase.IDLE,
    (Phase.VERIFIED, Event.RESUMED): Phase.IDLE,
    (Phase.APPLYING, Event.RESUMED): Phase.APPLYING,
    (Phase.CHECKING, Event.RESUMED): Phase.APPLYING,
    (Phase.COMMITTED, Event.RESUMED): Phase.COMMITTED,
    (Phase.ROLLING_BACK, Event.RESUMED): Phase.ROLLING_BACK,
    (Phase.ROLLED_BACK, Event.RESUMED): Phase.ROLLED_BACK,
}


def advance(phase: Phase, event: Event) -> Phase:
    """Return the next state; `ImpossibleEventError` if the drawing has no such arrow."""
    try:
        return TRANSITIONS[phase, event]
    except KeyError:
        raise ImpossibleEventError(f"{event} while {phase}") from None
