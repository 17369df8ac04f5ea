"""One upstream for each approved connection, made at first use, closed when it serves no more.

An upstream belongs to an access key: a new scope goes on with it, a new secret, realm, network or
CA gets another. Pulls hold a lease: a rotation lets them finish, a revocation ends them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from attrs import define, field

from facade.outcome import Failed, outcome_of
from facade.registries.upstream import Upstream
from shared.approved_connection import ApprovedConnection
from shared.supervised import tell_of_failure

MakeUpstream = Callable[[ApprovedConnection], Awaitable[Upstream]]


class ConnectionRevokedError(Exception):
    """The connection was revoked while a pull went through it."""


@define(eq=False)
class _Entry:
    connection_id: UUID
    access_key: str
    upstream: asyncio.Task[Upstream | Failed]
    pulls: set[asyncio.Task[object]] = field(factory=set)
    retired: bool = False
    revoked: bool = False


@define(eq=False)
class Upstreams:
    """The upstreams of one facade process, by connection."""

    _make_upstream: MakeUpstream
    _entries: dict[UUID, _Entry] = field(factory=dict, init=False)
    _retired: dict[UUID, set[_Entry]] = field(factory=dict, init=False)  # and still lent
    _told: dict[UUID, str | None] = field(factory=dict, init=False)  # the access key that serves
    _closing: set[asyncio.Task[None]] = field(factory=set, init=False)

    @asynccontextmanager
    async def lease(self, connection: ApprovedConnection) -> AsyncIterator[Upstream]:
        """Lend the connection's upstream to this task; it stays open as long as it is lent.

        Raises `ConnectionRevokedError` in the middle of whatever the task does with it.
        """
        entry, pull = self._entry_of(connection), _current_task()
        entry.pulls.add(pull)
        try:
            yield await _made(entry.upstream)
        except asyncio.CancelledError:
            if entry.revoked and pull.uncancel() == 0:
                raise ConnectionRevokedError from None
            raise
        finally:
            entry.pulls.discard(pull)
            self._close_if_unused(entry)
            del entry, pull  # a task that ends with what is raised here holds this frame

    def retire(self, connection_id: UUID, *, serving: ApprovedConnection | None) -> None:
        """Let go of an upstream whose connection serves no more, or with another access key."""
        self._told[connection_id] = serving.access_key if serving else None
        entry = self._entries.get(connection_id)
        if entry is not None and (serving is None or serving.access_key != entry.access_key):
            del self._entries[connection_id]
            self._retired.setdefault(connection_id, set()).add(entry)
            entry.retired = True
            self._close_if_unused(entry)
        if serving is None:
            for lent in self._retired.get(connection_id, ()):
                lent.revoked = True
                for pull in lent.pulls:
                    pull.cancel()

    async def close(self) -> None:
        """Close every upstream."""
        for entry in self._entries.values():
            self._close(entry)
        self._entries.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)  # which are told of

    def _entry_of(self, connection: ApprovedConnection) -> _Entry:
        """Return what is lent; for who still stands on an older revision, one of its own."""
        serving = self._told.get(connection.id, connection.access_key)
        if serving is None:
            raise ConnectionRevokedError
        if serving != connection.access_key:
            return self._superseded_entry(connection)
        entry = self._entries.get(connection.id)
        if entry is not None and entry.access_key != connection.access_key:
            self.retire(connection.id, serving=connection)
            entry = None
        if entry is None or _failed(entry.upstream):
            entry = self._entries[connection.id] = self._made(connection)
        return entry

    def _superseded_entry(self, connection: ApprovedConnection) -> _Entry:
        """Return an entry of a revision that was replaced a moment ago: its pulls finish."""
        retired = self._retired.setdefault(connection.id, set())
        for entry in retired:
            if entry.access_key == connection.access_key and not _failed(entry.upstream):
                return entry
        entry = self._made(connection)
        entry.retired = True
        retired.add(entry)
        return entry

    def _made(self, connection: ApprovedConnection) -> _Entry:
        task = asyncio.ensure_future(outcome_of(self._make_upstream(connection)))
        return _Entry(connection.id, connection.access_key, task)

    def _close_if_unused(self, entry: _Entry) -> None:
        if not entry.retired or entry.pulls:
            return
        self._close(entry)
        lent = self._retired[entry.connection_id]
        lent.remove(entry)
        if not lent:
            del self._retired[entry.connection_id]

    def _close(self, entry: _Entry) -> None:
        task = asyncio.ensure_future(_close_upstream(entry.upstream))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        task.add_done_callback(tell_of_failure)


def _current_task() -> asyncio.Task[object]:
    """Return the running task; raise `RuntimeError` outside of any."""
    task = asyncio.current_task()
    if task is None:
        message = "a lease is taken by a task"
        raise RuntimeError(message)
    return task


async def _made(upstream: asyncio.Task[Upstream | Failed]) -> Upstream:
    """Return the upstream, or raise what kept it from being made."""
    made = upstream.result() if upstream.done() else await asyncio.shield(upstream)
    if isinstance(made, Failed):
        raise made.own()
    return made


def _failed(upstream: asyncio.Task[Upstream | Failed]) -> bool:
    return upstream.done() and (upstream.cancelled() or isinstance(upstream.result(), Failed))


async def _close_upstream(upstream: asyncio.Task[Upstream | Failed]) -> None:
    upstream.cancel()
    await asyncio.wait([upstream])
    if not upstream.cancelled() and isinstance(made := upstream.result(), Upstream):
        await made.close()
