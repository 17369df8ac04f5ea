"""Reads a connection's history a page at a time, the newest act first."""

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from attrs import frozen

from control_plane.connections.connection_history import (
    APPROVING,
    Documents,
    HistoryAct,
    UnprovenAct,
    history_acts,
    history_view,
)
from control_plane.connections.revision_store import documents_of, revision_documents
from control_plane.connections.store import connection_row
from control_plane.database.one_trip import fetch_parts
from control_plane.errors import NotFoundError
from control_plane.proof.actions import REVISION_ACTIONS
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.proofs import Proofs
from control_plane.proof.signed_log import require_entry
from control_plane.proof.statement_store import (
    ListedEntry,
    entries_about,
    last_entry_of,
    listed_entries,
)
from control_plane.reading.page import View
from control_plane.slices import in_slices
from shared.statement import AuditEntry, StatementRefusedError, connection_subject

OTHER_COLUMNS: Final = "its columns in the database are not what is signed"
VANISHED: Final = "the connection's newest act is not found in the database under its connection"


@frozen
class HistoryPage:
    """A page, and the place in the audit log before which the next one begins."""

    items: list[View]
    next_place: int | None


@frozen
class HistoryReader:
    """Reads the acts about a connection, each verified."""

    _chain: AuditChain

    async def page(self, connection_id: UUID, *, before: int | None, limit: int) -> HistoryPage:
        """Return a page of the acts before a place in the log; raise `NotFoundError`."""
        subject, row = connection_subject(connection_id), connection_row(connection_id)
        listed = entries_about(subject, before=before, limit=limit + 1)
        async with self._chain.reading(row, listed, about=[subject]) as proofs:
            if not proofs.rows(row) and proofs.log.upon_revisions(subject) is None:
                raise NotFoundError("there is no connection of this id")
            rows = listed_entries(proofs.rows(listed))
            items = await self._items(connection_id, rows[:limit], proofs)
            if before is None:
                items = [*_vanished(subject, rows, proofs), *items]
        return HistoryPage(items, rows[limit - 1].sequence if len(rows) > limit else None)

    async def _items(
        self, connection_id: UUID, rows: Sequence[ListedEntry], proofs: Proofs
    ) -> list[View]:
        subject, upwards = connection_subject(connection_id), rows[::-1]
        read = await in_slices(upwards, self._verified)
        entries = [each for each in read if isinstance(each, tuple) and each[0].about == subject]
        acts = [*history_acts(entries, await self._acts_before(subject, upwards, proofs))]
        documents = await _documents(connection_id, acts, proofs)
        views = await in_slices(acts, lambda act: history_view(act, documents))
        shown = {act.entry.generation: view for act, view in zip(acts, views, strict=True)}
        unproven = [each for each in read if isinstance(each, UnprovenAct)]
        shown |= {each.sequence: each.view() for each in unproven}
        return [shown[sequence] for sequence in sorted(shown, reverse=True)]

    async def _acts_before(
        self, subject: str, upwards: Sequence[ListedEntry], proofs: Proofs
    ) -> list[AuditEntry]:
        """Return the acts that say which revisions there were before the first of these."""
        if not upwards:
            return []
        first = upwards[0].sequence
        wanted = [
            last_entry_of(subject, actions, before=first)
            for actions in (REVISION_ACTIONS, APPROVING)
        ]
        rows = [row for part in await fetch_parts(proofs.connection, wanted) for row in part]
        read = map(self._verified, listed_entries(rows))
        entries = [each[0] for each in read if isinstance(each, tuple) and each[0].about == subject]
        return [*{entry.generation: entry for entry in entries}.values()]

    def _verified(self, row: ListedEntry) -> tuple[AuditEntry, str | None] | UnprovenAct:
        try:
            entry = require_entry(row.sequence, row.stored, self._chain.signer)
        except StatementRefusedError as error:
            return UnprovenAct(row.sequence, f"not believed: {error}")
        return entry, None if row.is_found_as(entry) else OTHER_COLUMNS


async def _documents(connection_id: UUID, acts: Iterable[HistoryAct], proofs: Proofs) -> Documents:
    named = {each.number for act in acts for each in (act.before, act.after) if each}
    if not named:
        return Documents({})
    wanted = revision_documents(connection_id, named)
    (rows,) = await fetch_parts(proofs.connection, [wanted])
    return Documents(documents_of(rows))


def _vanished(subject: str, rows: Sequence[ListedEntry], proofs: Proofs) -> list[View]:
    """Return the connection's newest act by the signed log, if no row was found for it."""
    made, upon = proofs.log.made(subject), proofs.log.upon_revisions(subject)
    newest = max([upon.sequence if upon else 0, made.place.sequence if made else 0])
    if not newest or any(row.sequence >= newest for row in rows):
        return []
    return [UnprovenAct(newest, VANISHED).view()]
