"""How a target stands: whether it is sent anything. Pure; a drawing is in `docs/webhooks.md`.

ACTIVE --a failure--> FAILING --a success--> ACTIVE
FAILING --its oldest event is old, and nothing of late succeeded--> STOPPED
any --410 Gone--> GONE
STOPPED, GONE --the file changes, SIGHUP--> ACTIVE

Whether it is off is in its signed position (`position.py`), and outlives a restart.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from attrs import define

STOPPED_AFTER: Final = timedelta(days=5)  # of failures: a long weekend, and two days to mend it
TRIES_BEFORE_STOP: Final = 5  # failures one after the other: then it is not one event's fault


class Standing(StrEnum):
    """Whether a target is sent events."""

    ACTIVE = "active"
    FAILING = "failing"  # tried again and again
    STOPPED = "stopped"  # failed for days
    GONE = "gone"  # it answered 410

    @property
    def is_off(self) -> bool:
        """Whether nothing is sent until somebody looks."""
        return self in {Standing.STOPPED, Standing.GONE}


class AfterFailure(StrEnum):
    """What becomes of an event that failed."""

    TRIED_AGAIN = "tried_again"
    GIVEN_UP = "given_up"  # others of the target succeed: it is about this event
    TARGET_OFF = "target_off"  # it waits until the target is on again


@define
class TargetStanding:
    """The standing of one target, and all that changes it."""

    standing: Standing = Standing.ACTIVE
    off_since: datetime | None = None
    _succeeded_at: datetime | None = None  # as far as this process knows

    def succeeded(self, now: datetime) -> None:
        """Take a success."""
        self._succeeded_at = now
        if not self.standing.is_off:
            self.standing = Standing.ACTIVE

    def gone(self, now: datetime) -> AfterFailure:
        """Take a 410."""
        return self._off(Standing.GONE, now)

    def failed(self, now: datetime, event_at: datetime, failures: int) -> AfterFailure:
        """Take a failure of an event of some time, the last of so many one after the other."""
        if self.standing.is_off:
            return AfterFailure.TARGET_OFF
        self.standing = Standing.FAILING
        if now - event_at < STOPPED_AFTER:
            return AfterFailure.TRIED_AGAIN
        if self._succeeded_at is not None and now - self._succeeded_at < STOPPED_AFTER:
            return AfterFailure.GIVEN_UP
        if failures < TRIES_BEFORE_STOP:
            return AfterFailure.TRIED_AGAIN
        return self._off(Standing.STOPPED, now)

    def _off(self, standing: Standing, now: datetime) -> AfterFailure:
        self.standing, self.off_since = standing, now
        return AfterFailure.TARGET_OFF
