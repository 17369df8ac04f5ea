"""Which subjects the database notifies of, and when nobody listens because there is too much.

Whoever may log in may notify without end, and each notification is parsed on the loop. If more
bytes come than the bounds below allow, nobody listens for a while, and the feed finds changes by
comparing once a second.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import asyncpg
from attrs import define, field

from facade.approvals.noted_subjects import EVERYTHING, NOTED_COST_BYTES, NotedSubjects
from shared.pace import Pace
from shared.stopping import is_set_within
from shared.structured_log import get_logger

CHANNEL: Final = "registry_statements"
NOTIFIED_BYTES_AT_ONCE: Final = 16 * 1024 * 1024  # 80,000 connections
NOTIFIED_BYTES_PER_SECOND: Final = 1024 * 1024
DEAF_SECONDS: Final = 30.0

_log = get_logger("facade.statement_feed")


@define(eq=False)
class Notifications:
    """The notifications of one database, through whichever connection is open now."""

    _clock: Callable[[], float]  # seconds, monotonic
    _noted: NotedSubjects = field(factory=NotedSubjects, init=False)
    _pace: Pace = field(init=False)
    _deaf_until: float | None = field(default=None, init=False)  # by `_clock`
    _wake: asyncio.Event = field(factory=asyncio.Event, init=False)
    is_listening: bool = field(default=False, init=False)  # whether LISTEN was accepted

    @_pace.default
    def _pace_of_bytes(self) -> Pace:
        return Pace(NOTIFIED_BYTES_PER_SECOND, NOTIFIED_BYTES_AT_ONCE, self._clock)

    @property
    def is_flooded(self) -> bool:
        """Whether nobody listens, because there were too many notifications."""
        return self._deaf_until is not None

    @property
    def is_too_much(self) -> bool:
        """Whether so many subjects were named that everything has to be compared."""
        return self._noted.is_too_much

    def note(self, subject: str = EVERYTHING) -> None:
        """Have a subject read soon, as if it had been notified; without one, everything."""
        self._noted.note(subject)
        self._wake.set()

    def clear(self) -> None:
        """Forget which subjects were named: everything is about to be compared."""
        self._noted.clear()

    def take(self) -> list[str] | None:
        """Return the subjects to read now, as `NotedSubjects.take` does."""
        is_all = not self._noted.is_too_much
        subjects = self._noted.take()
        if subjects is not None and is_all:
            self._wake.clear()
        return subjects

    async def come_within(self, seconds: float) -> bool:
        """Wait until there is something to read, at most so long; tell whether there is.

        A connection that was closed counts, too.
        """
        return await is_set_within(self._wake, seconds)

    def follow(self, connection: asyncpg.Connection) -> None:
        """Have whoever waits woken when this connection ends."""
        connection.add_termination_listener(lambda _: self._wake.set())

    def forget_connection(self) -> None:
        """Know that nobody listens any more: the next connection has to LISTEN again."""
        self.is_listening = False

    async def listen(self, connection: asyncpg.Connection) -> None:
        """Listen; or stop listening, if there were too many notifications."""
        if self._deaf_until is not None and self._clock() >= self._deaf_until:
            self._deaf_until = None
        if self.is_flooded and self.is_listening:
            self.is_listening = False
            await connection.remove_listener(CHANNEL, self._notified)
            _log.warning("too many notifications, polling for a while")
        if self.is_flooded or self.is_listening:
            return
        try:
            await connection.add_listener(CHANNEL, self._notified)
        except asyncpg.PostgresError as error:
            _log.debug("no LISTEN here, polling alone", reason=type(error).__name__)
        else:
            self.is_listening = True

    def _notified(self, _connection: object, _pid: int, _channel: str, subject: object) -> None:
        self._noted.note(subject)
        self._wake.set()
        cost = len(str(subject)) + NOTED_COST_BYTES
        if not self.is_flooded and not self._pace.take_now(cost):
            self._deaf_until = self._clock() + DEAF_SECONDS
