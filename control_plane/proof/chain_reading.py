"""Reading the chain from a snapshot of the database: from its end down to the known part."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from attrs import frozen

from control_plane.database.database import DatabaseConnection
from control_plane.errors import AuditDamagedError
from control_plane.proof.chain_store import BATCH_ENTRIES, fetch_entries_back
from control_plane.proof.signed_log import BEGINNING, LoggedAct, NewestActs, Place, SignedLog
from control_plane.proof.signer import Verifier
from control_plane.proof.walk_back import FIRST, EntryRow, WalkBack

EMPTY: Final = "empty"  # stands for the hash of a log without entries
THREAD_ROWS: Final = 100  # longer reads are proven in a thread: a row costs some 10 us


@frozen
class Reading:
    """A log that was read, what is new in it, and whether it has the place that was seen before."""

    log: SignedLog
    newest: NewestActs
    has_seen: bool = True


async def read_log(
    connection: DatabaseConnection,
    verifier: Verifier,
    known: SignedLog,
    *,
    seen: Place = BEGINNING,
) -> Reading:
    """Return the log that goes on from the known one, or raise `AuditDamagedError`.

    With `seen`, that place is looked for, too; one without a hash is there if the log is so long.
    """
    known_at, seen_at = known.end.sequence, seen.sequence
    down_to = min(known_at, seen_at) if seen_at else known_at
    newest, end, has_known, has_seen = NewestActs(), None, not known_at, False
    async for act in acts_back(connection, verifier, trusted=known.end, down_to=down_to):
        end = end or act.place
        has_known |= act.place == known.end
        has_seen |= act.place == seen or (not seen.hash and act.place.sequence >= seen_at)
        if act.place.sequence > known_at:
            newest.add(act)
    if not has_known:
        raise vanished(known.end, await present_end(connection, verifier))
    if end is None or end == known.end:
        return Reading(known, newest, has_seen or not seen_at)
    return Reading(known.followed_by(end, newest), newest, has_seen or not seen_at)


def read_rows(rows: Sequence[EntryRow], verifier: Verifier, known: SignedLog) -> Reading | None:
    """Return the log that goes on from the known one with these rows, which come last entry first.

    None if they do not lead down to the known one. Then `read_log` says what is wrong, or reads all
    that lies between.
    """
    try:
        acts = WalkBack(verifier, known.end).take(rows)
    except AuditDamagedError:
        return None
    lowest = acts[-1].place if acts else BEGINNING
    if lowest != known.end and (known.end.sequence or lowest.sequence > FIRST):
        return None
    newest = NewestActs()
    new = [act for act in acts if act.place.sequence > known.end.sequence]
    for act in new:
        newest.add(act)
    return Reading(known.followed_by(new[0].place, newest) if new else known, newest)


async def present_end(connection: DatabaseConnection, verifier: Verifier) -> Place:
    """Return where the chain ends now, or raise `AuditDamagedError`."""
    rows = await fetch_entries_back(connection, at_most=1)
    acts = WalkBack(verifier, BEGINNING).take(rows)
    return acts[0].place if acts else BEGINNING


def vanished(seen: Place, present: Place) -> AuditDamagedError:
    """Return the error of a log that lacks an entry that was seen."""
    return AuditDamagedError(
        f"audit entries have vanished: entry {seen.sequence} was seen here, and the database has it"
        " no more, or has another in its place. If a backup was restored on purpose, accept that on"
        f" the host: `control-plane audit accept-restore --head {present.hash or EMPTY}`"
    )


async def acts_back(
    connection: DatabaseConnection, verifier: Verifier, *, trusted: Place, down_to: int
) -> AsyncIterator[LoggedAct]:
    """Yield every act from the end of the chain down to a place; raise `AuditDamagedError`."""
    # The end alone first: if it is not believed, or is known, nothing below it is read.
    walk, below, at_most = WalkBack(verifier, trusted), None, 1
    while rows := await fetch_entries_back(
        connection, below=below, down_to=down_to, at_most=at_most
    ):
        at_most = BATCH_ENTRIES
        if len(rows) > THREAD_ROWS:
            acts = await asyncio.to_thread(walk.take, rows)
        else:
            acts = walk.take(rows)
        for act in acts:
            yield act
        below = rows[-1].sequence
        if below <= max(down_to, 1):
            return
    walk.require_at(down_to)
