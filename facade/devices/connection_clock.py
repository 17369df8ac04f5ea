"""The clock of one connection: it looks when something may be due, and tells the connection.

The deadlines are on the loop's clock. When the device's certificate ends is read on the clock of
the day, which somebody may set, so it is looked at again and again.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from attrs import define, field

from facade.devices.connection_deadlines import ConnectionDeadlines, Due


@define(eq=False)
class ConnectionClock:
    """Looks from `look` on, until it has told what is due, or to `stop`. It has one timer."""

    _deadlines: ConnectionDeadlines
    _not_after: datetime  # of the device's certificate
    _awaits: Callable[[], bool]  # whether the connection answers nothing
    _on_due: Callable[[Due], None]
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)

    def look(self) -> None:
        """Look now, and again when something may be due."""
        self.stop()
        left = (self._not_after - datetime.now(UTC)).total_seconds()
        now, awaits = self._loop.time(), self._awaits()
        due = Due.EXPIRED if left <= 0 else self._deadlines.due(now, awaits=awaits)
        if due is None:
            delay = min(left, self._deadlines.next_look(now, awaits=awaits))
            self._timer = self._loop.call_later(delay, self.look)
        else:
            self._on_due(due)

    def stop(self) -> None:
        """Look no more. Safe to call twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None  # the two would hold each other
