"""One upstream for each approved connection, made at first use, closed when it serves no more.

An upstream belongs to an access key. A new scope keeps it; a new secret, realm, network or CA gets
another one. Whoever asks the registry holds a lease meanwhile. A rotation lets them finish; a
revocation ends them, as everything that runs through the connection (`connection_work`).

An upstream that is not lent is closed if nobody used it for an hour, or if there are too many; the
least recently used first. Its tokens, and what it knows of how to log in, are lost, and the next
pull finds them out again. As long as it remembers why its registry is not to be asked, it stays
open: see `Upstream.is_at_rest`.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from attrs import define, field

from facade.loop.shared_work import SharedWork
from facade.registries.connection_work import ConnectionWork
from facade.registries.upstream import Upstream
from shared.approved_connection import ApprovedConnection
from shared.jitter import jittered
from shared.supervised import tell_of_failure

IDLE_SECONDS: Final = 3600.0  # as long as a provider's credential lasts: an hourly pull finds it
# Also if it remembers failures: nobody asked for so long, and a new facade would not know them.
FORGOTTEN_SECONDS: Final = 6 * 3600.0
MAX_OPEN: Final = 4096  # 24 KiB each; those that are lent or remember failures may be more
LOOKED_AT_SECONDS: Final = 60.0  # jittered
CANDIDATES: Final = 16  # looked at if there are too many, before one more is made

MakeUpstream = Callable[[ApprovedConnection], Awaitable[Upstream]]


@define(eq=False)
class _Entry:
    connection_id: UUID
    access_key: str
    making: SharedWork[Upstream]
    leases: int = 0
    used_at: float = 0.0  # when it was last lent, or given back
    retired: bool = False

    def may_be_closed(self, now: float) -> bool:
        """Tell whether closing it loses only what can be found out again."""
        if self.leases:
            return False
        made = self.making.outcome_nowait
        is_at_rest = not isinstance(made, Upstream) or made.is_at_rest
        return is_at_rest or now - self.used_at >= FORGOTTEN_SECONDS

    @property
    def has_failed(self) -> bool:
        """Whether making the upstream failed."""
        return self.making.is_over and not isinstance(self.making.outcome_nowait, Upstream)


@define(eq=False)
class Upstreams:
    """The upstreams of one facade process, by connection."""

    _make_upstream: MakeUpstream
    _work: ConnectionWork
    _max_open: int = MAX_OPEN
    _clock: Callable[[], float] = time.monotonic
    _entries: OrderedDict[UUID, _Entry] = field(factory=OrderedDict, init=False)  # as last used
    _retired: dict[UUID, set[_Entry]] = field(factory=dict, init=False)  # and still lent
    _told: dict[UUID, str | None] = field(factory=dict, init=False)  # the access key that serves
    _closing: set[asyncio.Task[None]] = field(factory=set, init=False)
    _timer: asyncio.TimerHandle | None = field(default=None, init=False)  # while there are some

    @asynccontextmanager
    async def lease(self, connection: ApprovedConnection) -> AsyncIterator[Upstream]:
        """Lend the connection's upstream; it stays open as long as it is lent.

        Raises `ConnectionRevokedError`, as `ConnectionWork.running` does.
        """
        with self._work.running(connection):
            entry = self._entry_of(connection)
            entry.leases += 1
            try:
                yield await entry.making.result()
            finally:
                entry.leases -= 1
                self._note_use(entry)
                self._close_if_unused(entry)
                del entry  # a task that ends with an error from here holds this frame

    def made_nowait(self, connection: ApprovedConnection) -> Upstream | None:
        """Return the connection's upstream, to be asked in this step; None if it is not there."""
        entry = self._entries.get(connection.id)
        if entry is None or entry.access_key != connection.access_key:
            return None
        made = entry.making.outcome_nowait
        return made if isinstance(made, Upstream) else None

    def retire(self, connection_id: UUID, *, serving: ApprovedConnection | None) -> None:
        """Let go of an upstream if its connection serves no more, or with another access key."""
        self._told[connection_id] = serving.access_key if serving else None
        entry = self._entries.get(connection_id)
        if entry is not None and (serving is None or serving.access_key != entry.access_key):
            del self._entries[connection_id]
            self._retired.setdefault(connection_id, set()).add(entry)
            entry.retired = True
            self._close_if_unused(entry)

    @property
    def open(self) -> int:
        """How many connections have an upstream."""
        return len(self._entries)

    def close_idle(self) -> None:
        """Close what was not used for an hour, and may be closed."""
        now = self._clock()
        for connection_id, entry in list(self._entries.items()):
            if now - entry.used_at >= IDLE_SECONDS and entry.may_be_closed(now):
                del self._entries[connection_id]
                self._close(entry)

    async def close(self) -> None:
        """Close every upstream."""
        if self._timer is not None:
            self._timer.cancel()
        for entry in self._entries.values():
            self._close(entry)
        self._entries.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)  # which are told of

    def _entry_of(self, connection: ApprovedConnection) -> _Entry:
        """Return the entry to lend; a pull that goes by an older revision gets that one's."""
        if self._told.get(connection.id, connection.access_key) != connection.access_key:
            return self._superseded_entry(connection)
        entry = self._entries.get(connection.id)
        if entry is not None and entry.access_key != connection.access_key:
            self.retire(connection.id, serving=connection)
            entry = None
        if entry is None or entry.has_failed:
            self._make_room()
            entry = self._entries[connection.id] = self._made(connection)
            self._look_later()
        self._note_use(entry)
        return entry

    def _look_later(self) -> None:
        if self._timer is None and self._entries:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(jittered(LOOKED_AT_SECONDS), self._look)

    def _look(self) -> None:
        self._timer = None
        self.close_idle()
        self._look_later()

    def _note_use(self, entry: _Entry) -> None:
        entry.used_at = self._clock()
        if self._entries.get(entry.connection_id) is entry:
            self._entries.move_to_end(entry.connection_id)

    def _make_room(self) -> None:
        """Close the least recently used ones that may be closed, so that one more can be opened."""
        now = self._clock()
        for _ in range(CANDIDATES):
            if len(self._entries) < self._max_open:
                return
            connection_id, entry = next(iter(self._entries.items()))
            if entry.may_be_closed(now):
                del self._entries[connection_id]
                self._close(entry)
            else:
                self._entries.move_to_end(connection_id)

    def _superseded_entry(self, connection: ApprovedConnection) -> _Entry:
        """Return an entry of a revision that was replaced a moment ago. Its pulls may finish."""
        retired = self._retired.setdefault(connection.id, set())
        for entry in retired:
            if entry.access_key == connection.access_key and not entry.has_failed:
                return entry
        entry = self._made(connection)
        entry.retired = True
        retired.add(entry)
        return entry

    def _made(self, connection: ApprovedConnection) -> _Entry:
        making = SharedWork.begin(lambda: self._make_upstream(connection))
        return _Entry(connection.id, connection.access_key, making)

    def _close_if_unused(self, entry: _Entry) -> None:
        if not entry.retired or entry.leases:
            return
        self._close(entry)
        lent = self._retired[entry.connection_id]
        lent.remove(entry)
        if not lent:
            del self._retired[entry.connection_id]

    def _close(self, entry: _Entry) -> None:
        task = asyncio.ensure_future(_close_upstream(entry.making))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        task.add_done_callback(tell_of_failure)


async def _close_upstream(making: SharedWork[Upstream]) -> None:
    await making.end()
    if isinstance(made := making.outcome_nowait, Upstream):
        await made.close()
