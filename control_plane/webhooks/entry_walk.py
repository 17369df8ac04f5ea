"""Reading on in the audit log from a target's position, and what each entry says.

Nothing is taken from a row because it lies there. Entries are walked from the end of the chain down
to the position, whose hash must come out; so they are proven to follow it. What an entry says is
believed if its own signature holds; the document of a connection, if the entry's fingerprint names
it.
"""

from collections import deque
from contextlib import aclosing
from typing import Final

from attrs import define, field, frozen

from control_plane.database.database import Database, DatabaseConnection
from control_plane.database.one_trip import Part, fetch_parts
from control_plane.errors import AuditDamagedError, AuditUnreadError
from control_plane.proof.actions import ACCEPT_RESTORE
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.chain_reading import acts_back
from control_plane.proof.chain_store import entries_at, entry_rows_of
from control_plane.proof.envelope_columns import bounded_column
from control_plane.proof.signed_log import BEGINNING, Place, entry_hash
from control_plane.proof.signer import Signer
from control_plane.webhooks.event import KIND_OF_ACTION, WebhookEvent
from control_plane.webhooks.payload import connection_of, event_of_entry
from control_plane.webhooks.position import EventGap, GapReason
from control_plane.webhooks.waiting_event import LogEvent
from control_plane.webhooks.webhook_target import WebhookTarget
from shared.canonical_json import MAX_DOCUMENT_BYTES, InvalidDocumentError
from shared.connection import ConnectionDocument, fingerprint
from shared.statement import AuditEntry, StatementRefusedError

# Entries below the end in which an accepted restore is looked for: hours of acts. Without one the
# target goes on from the end, and is told of a gap.
RESTORE_ENTRIES: Final = 2000


@frozen
class ReadOn:
    """What follows a position: events, oldest first, and up to where there are no others."""

    events: tuple[LogEvent, ...]
    place: Place
    gap: EventGap | None = None


@define(eq=False)
class _Walk:
    """What a walk back from the end has found so far."""

    _down_to: Place
    _target: WebhookTarget
    _kept: deque[LogEvent]
    _wanted: int = field(default=0, init=False)
    end: Place | None = field(default=None, init=False)
    lowest: Place = field(default=BEGINNING, init=False)
    has_arrived: bool = field(default=False, init=False)  # at the very entry of the position
    is_broken: bool = field(default=False, init=False)

    async def go(self, connection: DatabaseConnection, signer: Signer) -> None:
        """Walk from the end down to the position, as far as there are proven entries."""
        place = self._down_to
        acts = acts_back(connection, signer, trusted=place, down_to=place.sequence)
        try:
            async with aclosing(acts):  # type: ignore[type-var] # it is a generator
                async for act in acts:
                    self.end = self.end or act.place
                    if act.place.sequence <= place.sequence:
                        self.has_arrived = act.place == place
                        return
                    self.lowest = act.place
                    kind = KIND_OF_ACTION.get(act.action)
                    if kind is not None and self._target.wants(kind):
                        self._kept.append(LogEvent(act.place, kind, act.about))
                        self._wanted += 1
        except AuditDamagedError:
            self.is_broken = True

    def read_on(self, gap: EventGap | None = None) -> ReadOn | None:
        """Return what was found; with more events than have room, up to the last that has."""
        if self.end is None:
            return None
        events = tuple(reversed(self._kept))
        is_whole = self._wanted == len(events)
        return ReadOn(events, self.end if is_whole else events[-1].place, gap)


async def read_on(
    chain: AuditChain, target: WebhookTarget, place: Place, *, room: int
) -> ReadOn | None:
    """Return what follows a place, at most `room` events; None if nothing can be said now.

    Raises what `Database` raises.
    """
    walk = _Walk(place, target, deque(maxlen=max(1, room)))
    async with chain.database.snapshot() as connection:
        await walk.go(connection, chain.signer)
    if walk.has_arrived:
        return walk.read_on()
    # Either this process, too, finds that the log is not whole, and says so; or entries below what
    # it remembers are gone, or a restore was accepted.
    if not await _is_believed(chain):
        return None
    if walk.is_broken and walk.lowest.sequence:
        up_to = walk.lowest.sequence - 1
        return walk.read_on(EventGap(place.sequence, up_to, GapReason.LOG_DAMAGED))
    return await _after_restore(chain)


async def _is_believed(chain: AuditChain) -> bool:
    """Have the process compare the log with what it has seen; tell whether it believes it."""
    try:
        async with chain.reading():
            return chain.problem is None
    except (AuditDamagedError, AuditUnreadError):
        return False


async def _after_restore(chain: AuditChain) -> ReadOn | None:
    """Return the entry before the newest accepted restore; if none is near, the end of the log."""
    log = await chain.loaded()
    if not log.end.sequence:
        return None
    place, down_to = log.end, max(1, log.end.sequence - RESTORE_ENTRIES)
    async with chain.database.snapshot() as connection:
        acts = acts_back(connection, chain.signer, trusted=log.end, down_to=down_to)
        async with aclosing(acts):  # type: ignore[type-var] # it is a generator
            async for act in acts:
                is_accepted = act.action == ACCEPT_RESTORE and act.place.hash in log.restores
                if is_accepted and act.place.sequence > 1:
                    place = Place(act.place.sequence - 1, act.previous)
                    break
    return ReadOn((), place, EventGap(0, place.sequence, GapReason.NOT_IN_LOG))


async def waiting_events(
    database: Database, signer: Signer, target: WebhookTarget, places: list[Place]
) -> tuple[list[LogEvent], list[Place]]:
    """Return the events of entries that waited before a restart, and the places of the others."""
    entries = await _entries(database, signer, places)
    events = list[LogEvent]()
    missing = list[Place]()
    for place in places:
        entry = entries.get(place)
        kind = KIND_OF_ACTION.get(entry.action) if entry else None
        if entry is None:
            missing.append(place)
        elif kind is not None and target.wants(kind):
            events.append(LogEvent(place, kind, entry.about))
    return events, missing


async def event_at(
    database: Database, signer: Signer, target: str, waiting: LogEvent
) -> WebhookEvent | None:
    """Return the event of an entry as it is sent; None if the entry is not believed."""
    entry = (await _entries(database, signer, [waiting.place])).get(waiting.place)
    if entry is None:
        return None
    document = await _document(database, entry)
    return event_of_entry(target, waiting.kind, entry, waiting.place.hash, document)


async def _entries(
    database: Database, signer: Signer, places: list[Place]
) -> dict[Place, AuditEntry]:
    """Return the believed entries of proven places."""
    if not places:
        return {}
    async with database.connection(tells=False) as connection:
        (rows,) = await fetch_parts(connection, [entries_at(places)])
    stored = {row.sequence: row.stored for row in entry_rows_of(rows)}
    found = dict[Place, AuditEntry]()
    for place in places:
        envelope = stored.get(place.sequence)
        if envelope is None or entry_hash(envelope) != place.hash:
            continue
        try:
            found[place] = signer.verify_as(envelope, AuditEntry)
        except StatementRefusedError:
            continue  # of a key that is not configured any more: the caller tells of a gap
    return found


async def _document(database: Database, entry: AuditEntry) -> ConnectionDocument | None:
    """Return the document that an entry's fingerprint names, if the database has it."""
    connection_id, named = connection_of(entry.about), entry.details.get("fingerprint")
    if connection_id is None or named is None:
        return None
    column = bounded_column("document", "document", MAX_DOCUMENT_BYTES)
    part = Part(
        ("document",),
        f"SELECT {column} FROM public.connection_revisions"  # noqa: S608 - constants
        " WHERE connection_id = $1 AND revision::text = $2",
        (connection_id, entry.details.get("revision", "")),
    )
    async with database.connection(tells=False) as connection:
        (rows,) = await fetch_parts(connection, [part])
    stored = rows[0]["document"] if rows else None
    if not isinstance(stored, bytes) or fingerprint(stored) != named:
        return None
    try:
        return ConnectionDocument.from_bytes(stored)
    except InvalidDocumentError:
        return None  # of a later version of this program
