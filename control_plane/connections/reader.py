"""Connections as they are believed, read for a view or within an act."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from attrs import frozen

from control_plane.connections.filter import ConnectionFilter
from control_plane.connections.state import ConnectionState, connection_state
from control_plane.connections.store import (
    connection_of,
    connection_row,
    connection_rows,
    connection_without_row,
    connections_of,
    connections_without_row,
    waiting_rows,
)
from control_plane.connections.stored_connection import StoredConnection
from control_plane.connections.view import connection_view
from control_plane.database.one_trip import Part, fetch_parts
from control_plane.errors import NotFoundError
from control_plane.proof.acts import Act, Acts
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.history import OLDER, History
from control_plane.reading.entity_tag import SeenTags
from control_plane.reading.page import WITHOUT_ROW, Page, View
from control_plane.reading.query_reader import ListPlace
from control_plane.slices import in_slices
from shared.canonical_json import format_time
from shared.identity_form import IdentityForm
from shared.statement import connection_subject
from shared.structured_log import get_logger

# Of a list whose filter only views can answer: connections that are proven for one page. With more
# of them it is asked for the next page.
LOOKED_AT: Final = 300  # some 0.25 s of a processor
READ_AT_ONCE: Final = 100  # of them; each row has 256 KiB at most, and a few columns of that length

_log = get_logger("control_plane.connection_reader")


@frozen
class ConnectionReader:
    """Reads connections, each held against the signed log."""

    _chain: AuditChain
    _history: History
    _form: IdentityForm | None = None

    async def read(self, connection_id: UUID) -> tuple[StoredConnection, ConnectionState]:
        """Return a connection and what is believed of it, or raise `NotFoundError`."""
        row, subject = connection_row(connection_id), connection_subject(connection_id)
        async with self._chain.reading(row, about=[subject]) as proofs:
            stored = _found(await connection_of(proofs.rows(row), proofs))
        return stored, self._believed(stored)

    async def show(self, connection_id: UUID) -> View:
        """Return a connection's view, even if its row is gone, or raise `NotFoundError`."""
        return (await self.look(connection_id))[0]

    async def look(self, connection_id: UUID) -> tuple[View, ConnectionState]:
        """Return a connection's view and what is believed of it, even if its row is gone.

        Raises `NotFoundError`.
        """
        row, subject = connection_row(connection_id), connection_subject(connection_id)
        async with self._chain.reading(row, about=[subject]) as proofs:
            stored = await connection_of(proofs.rows(row), proofs)
            if stored is None:
                stored = await connection_without_row(connection_id, proofs)
        found = _found(stored)
        state = self._believed(found)
        return self._view(found, state), state

    async def list(self, wanted: ConnectionFilter, *, after: ListPlace | None, limit: int) -> Page:
        """Return a page of the wanted connections, in the order in which they were made.

        Connections that the signed log names and whose rows are gone come last.
        """
        items, looked_at = list[View](), 0
        while True:
            at_once = READ_AT_ONCE if wanted.is_found_by_views else limit
            found, following = await self._looked_at(wanted, after=after, limit=at_once)
            for place, view in found:
                if wanted.fits(view):
                    if len(items) == limit:
                        return Page(items, after)
                    items.append(view)
                after = place
            looked_at += at_once
            if following is None or not wanted.is_found_by_views or looked_at >= LOOKED_AT:
                return Page(items, following)

    async def _looked_at(
        self, wanted: ConnectionFilter, *, after: ListPlace | None, limit: int
    ) -> tuple[Sequence[tuple[ListPlace, View]], ListPlace | None]:
        """Return what may be wanted, each with its place, and where more begins."""
        has_rows = after is None or after[0] < WITHOUT_ROW
        keys = self._chain.signer.public_keys
        rows = connection_rows(wanted, known_keys=keys, after=after, limit=limit + 1)
        async with self._chain.reading(*([rows] if has_rows else [])) as proofs:
            stored = await connections_of(proofs.rows(rows), proofs) if has_rows else []
            if (room := limit + 1 - len(stored)) > 0:
                lost = None if has_rows or after is None else after[1]
                stored += await connections_without_row(proofs, wanted, after=lost, limit=room)
        page = stored[:limit]
        views = await in_slices(page, lambda each: self._view(each, self._believed(each)))
        found = [(_place(each), view) for each, view in zip(page, views, strict=True)]
        return found, _place(page[-1]) if len(stored) > limit else None

    async def waiting(
        self, *, after: ListPlace | None, limit: int
    ) -> tuple[Sequence[ConnectionState], ListPlace | None]:
        """Return the connections whose draft waits, the oldest draft first, and where more begin.

        A draft that is not believed is among them; its state says so.
        """
        part = waiting_rows(after=after, limit=limit + 1)
        async with self._chain.reading(part) as proofs:
            rows = proofs.rows(part)
            stored = await connections_of(rows[:limit], proofs)
        states = await in_slices(stored, self._believed)
        waiting = [each for each in states if each.draft_waits]
        if len(rows) <= limit:
            return waiting, None
        return waiting, (rows[limit - 1]["draft_made_at"], rows[limit - 1]["id"])

    @asynccontextmanager
    async def acting(
        self, acts: Acts, connection_id: UUID, *parts: Part, seen: SeenTags | None = None
    ) -> AsyncIterator[tuple[Act, StoredConnection, ConnectionState]]:
        """Yield an act, the connection that it is about, and its state; raise `NotFoundError`.

        Raises `PreconditionFailedError` if the connection is not what was seen.
        """
        row, subject = connection_row(connection_id), connection_subject(connection_id)
        async with acts.begin(row, *parts, about=[subject]) as act:
            stored = _found(await connection_of(act.proofs.rows(row), act.proofs))
            state = connection_state(stored, self._chain.signer)
            self.require_seen(seen, stored, state)
            yield act, stored, state

    async def state_within(self, act: Act, connection_id: UUID) -> ConnectionState:
        """Return the state of another connection that is in the way of an act."""
        row = connection_row(connection_id)
        (rows,) = await fetch_parts(act.proofs.connection, [row])
        await act.proofs.fetch_entries([connection_subject(connection_id)])
        stored = _found(await connection_of(rows, act.proofs))
        return connection_state(stored, self._chain.signer)

    def require_seen(
        self, seen: SeenTags | None, stored: StoredConnection, state: ConnectionState
    ) -> None:
        """Raise `PreconditionFailedError` if the connection is not what was seen."""
        if seen is not None:
            seen.require(self._view(stored, state), _last_act(state), state.name)

    def view_after(self, stored: StoredConnection, state: ConnectionState) -> View:
        """Return the view of what an act makes of a connection."""
        return connection_view(stored, state, self._chain.clock(), self._form)

    def _view(self, stored: StoredConnection, state: ConnectionState) -> View:
        view = self.view_after(stored, state)
        if self._history.is_older(state.belief.subject):
            view |= {"serves": False, "problem": view["problem"] or OLDER}
        return view

    def _believed(self, stored: StoredConnection) -> ConnectionState:
        state = connection_state(stored, self._chain.signer)
        if state.problem:
            _log.warning("connection not believed", connection=state.id, reason=state.problem)
        return state


def _last_act(state: ConnectionState) -> str:
    """Return in words what was done last, as far as it is believed."""
    acts = (state.belief.entry, state.newest_entry, state.sent_back, state.discarded)
    last = max((each for each in acts if each), key=lambda act: act.generation, default=None)
    if last is None:
        return state.problem or "nothing of it is believed"
    when = format_time(last.at)
    return f"the last act upon its revisions was {last.action} by {last.actor} at {when}"


def _place(stored: StoredConnection) -> ListPlace:
    return stored.made_at or WITHOUT_ROW, stored.id


def _found(stored: StoredConnection | None) -> StoredConnection:
    if stored is None:
        raise NotFoundError("there is no connection of this id")
    return stored
