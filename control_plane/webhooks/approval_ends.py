"""Approvals that end in 14, 7 or 1 days.

Rows are found by what their unverified bytes say, and each is then held against the signed log: the
end in the notice is the one in the believed approval. Whoever changes a row so that it is not found
breaks its signature, and facades serve it no more.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import frozen

from control_plane.clock import Clock
from control_plane.database.one_trip import Part, fetch_parts
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.belief import believe
from control_plane.slices import in_slices
from control_plane.webhooks.payload import event_of_end
from control_plane.webhooks.waiting_event import EndNotice
from shared.canonical_json import MAX_DOCUMENT_BYTES, InvalidDocumentError, format_time
from shared.statement import ConnectionApproval, connection_subject

NOTICE_DAYS: Final = (1, 7, 14)  # before the end, the most urgent first
MAX_NOTICES: Final = 200  # of one look; the next look goes on behind them
LOOK_SECONDS: Final = 30.0  # some ms for 10,000 connections
_BEHIND_ALL: Final = "\U0010ffff"  # as text behind every subject
# In the signed payload, as `connections.survey` finds it: canonical JSON, whose times sort as text.
_ENDS: Final = f"""
SELECT subject, ends FROM (
  SELECT s.subject AS subject, substring(
    encode(s.payload, 'escape')
    FROM '"expires_at":"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9:]{{8}}\\.[0-9]{{3}}Z)"'
  ) AS ends
  FROM public.statements s
  WHERE starts_with(s.subject, 'connection/') AND starts_with(s.type, 'connection-approval/')
    AND octet_length(s.payload) <= {2 * MAX_DOCUMENT_BYTES}
) AS found WHERE ends > $1 AND ends <= $2
"""  # noqa: S608 - our own numbers


@frozen(order=True)
class EndsUntil:
    """Up to where notices were made: when due; and the subject, because many may be due at once."""

    due: datetime
    subject: str = ""


def ends_all(at: datetime) -> EndsUntil:
    """Return the place behind all notices that are due by a time."""
    return EndsUntil(at, _BEHIND_ALL)


def due_notice(expires_at: datetime, after: datetime, now: datetime) -> int | None:
    """Return the days of the most urgent notice that became due since a time, and by now."""
    for days in NOTICE_DAYS:
        if after <= expires_at - timedelta(days=days) <= now:
            return days
    return None


async def notices_due(
    chain: AuditChain, clock: Clock, target: str, *, after: EndsUntil, room: int
) -> tuple[list[EndNotice], EndsUntil]:
    """Return the notices that became due after a place, and up to where there are no others.

    Raises `AuditDamagedError`, `AuditUnreadError`, and what `Database` raises.
    """
    now = clock()
    found = sorted(await _found(chain, after, now))
    taken = found[: min(room, MAX_NOTICES)]
    if not taken:
        return [], after if found else ends_all(now)
    subjects = [place.subject for place in taken]
    async with chain.reading(about=subjects) as proofs:
        evidences = await proofs.evidences_of(subjects)
    beliefs = await in_slices(list(evidences.values()), lambda each: believe(each, chain.signer))
    statements = [each.statement for each in beliefs]
    approvals = [each for each in statements if isinstance(each, ConnectionApproval)]
    notices = _notices(approvals, target, after.due, now)
    return notices, ends_all(now) if len(taken) == len(found) else taken[-1]


async def _found(chain: AuditChain, after: EndsUntil, now: datetime) -> list[EndsUntil]:
    """Return what rows say: since when the notice of which subject is due."""
    latest = now + timedelta(days=max(NOTICE_DAYS))
    part = Part(("subject", "ends"), _ENDS, (format_time(after.due), format_time(latest)))
    async with chain.database.connection(tells=False) as connection:
        (rows,) = await fetch_parts(connection, [part])
    found = list[EndsUntil]()
    for row in rows:
        expires_at = _time(row["ends"])
        days = due_notice(expires_at, after.due, now) if expires_at else None
        if expires_at is not None and days is not None:
            found.append(EndsUntil(expires_at - timedelta(days=days), str(row["subject"])))
    return [place for place in found if place > after]


def _notices(
    approvals: Sequence[ConnectionApproval], target: str, after: datetime, now: datetime
) -> list[EndNotice]:
    notices = list[EndNotice]()
    for approval in approvals:
        days = due_notice(approval.expires_at, after, now) if approval.expires_at else None
        if approval.expires_at is None or days is None:
            continue
        due = approval.expires_at - timedelta(days=days)
        try:
            event = event_of_end(target, approval, days, due)
        except InvalidDocumentError:
            continue  # nobody serves it; the connection's view says why
        notices.append(EndNotice(event, connection_subject(approval.connection_id), due))
    return sorted(notices, key=lambda each: each.due)


def _time(text: str) -> datetime | None:
    """Return the time; None of what only looks like one."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
