"""Up to where a target was told what happened: signed, so that nobody moves it ahead. Pure.

A position names an entry of the audit log by its place and its hash, and the entries before it
whose events still wait. It is signed with the statement key, and is no statement: its type is known
to nobody who reads statements.

Whoever may write in the database can put an older position back, or take it away. Then events are
sent again, with the ids that they had; or the target is told of a gap. They cannot have an event
left out that nobody is told of.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from attrs import evolve, field, frozen

from control_plane.proof.signed_log import Place
from control_plane.proof.signer import Signer, Verifier
from control_plane.webhooks.standing import Standing
from shared.canonical_json import InvalidDocumentError, from_json, to_json
from shared.outside_bytes import Party, reads_bytes_of
from shared.statement import StatementRefusedError, StoredStatement

TYPE: Final = "webhook-position/1"
TYPE_OFF: Final = "webhook-position/2"  # of a target that is off; older programs know none
MAX_GAPS: Final = 8  # that a target was not told of yet; with more, the last ones become one


class GapReason(StrEnum):
    """Why events of some entries are not sent."""

    NEW = "new"  # no position is stored: the target is new, or somebody took its position away
    NOT_BELIEVED = "position_not_believed"
    NOT_IN_LOG = "position_not_in_log"  # as after an accepted restore
    LOG_DAMAGED = "log_damaged"
    ENTRY_NOT_BELIEVED = "entry_not_believed"
    TOO_OLD = "too_old"
    GIVEN_UP = "given_up"  # one event failed for days, while others were sent


@frozen
class EventGap:
    """Entries after a place and up to another, whose events are not sent."""

    after: int
    up_to: int
    reason: GapReason


@frozen
class TargetOff:
    """A target that is sent nothing, and since when."""

    standing: Standing = field(converter=Standing)
    since: datetime


@frozen
class WebhookPosition:
    """Up to where a target was told."""

    target: str
    sequence: int
    entry: str  # the hexadecimal hash of the entry at that place
    ends_until: datetime  # notices of approvals that end, which were due by then, were sent
    waiting: dict[str, str] = field(factory=dict)  # hashes of entries before it, by place
    gaps: tuple[EventGap, ...] = ()  # which the target was not told of yet
    off: TargetOff | None = None

    @property
    def place(self) -> Place:
        """The entry."""
        return Place(self.sequence, self.entry)

    @property
    def waiting_places(self) -> list[Place]:
        """The entries before it whose events wait, in their order."""
        return sorted(
            (Place(int(sequence), entry) for sequence, entry in self.waiting.items()),
            key=lambda place: place.sequence,
        )

    def with_gap(self, gap: EventGap) -> Self:
        """Return the position with one more gap; one that goes on from the last is part of it."""
        last = self.gaps[-1] if self.gaps else None
        if last is not None and (
            (last.reason is gap.reason and gap.after <= last.up_to) or len(self.gaps) >= MAX_GAPS
        ):
            merged = EventGap(min(last.after, gap.after), max(last.up_to, gap.up_to), gap.reason)
            return evolve(self, gaps=(*self.gaps[:-1], merged))
        return evolve(self, gaps=(*self.gaps, gap))

    def without_gap(self, gap: EventGap) -> Self:
        """Return the position without a gap that the target was told of."""
        return evolve(self, gaps=tuple(each for each in self.gaps if each != gap))


def gap_at(sequence: int, reason: GapReason) -> EventGap:
    """Return the gap of one entry."""
    return EventGap(sequence - 1, sequence, reason)


def sign_position(position: WebhookPosition, signer: Signer) -> StoredStatement:
    """Return a position as it is stored."""
    return signer.sign_record(TYPE_OFF if position.off else TYPE, to_json(position))


@reads_bytes_of(Party.DATABASE)
def position_of(stored: StoredStatement, target: str, verifier: Verifier) -> WebhookPosition:
    """Return a target's stored position; raise `StatementRefusedError`."""
    payload = verifier.verify_record(stored, TYPE_OFF if stored.type == TYPE_OFF else TYPE)
    try:
        position = from_json(payload, WebhookPosition)
    except InvalidDocumentError as error:
        raise StatementRefusedError(str(error)) from None
    if position.target != target:
        raise StatementRefusedError("it is another target's")
    return position
