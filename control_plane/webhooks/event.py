"""The events that targets are told of, and where each comes from. Pure.

An event's id is made of the target, the kind, and what it comes from: an entry of the audit log by
its hash, or an approval by its generation. So an event that is sent again has the id that it had,
and a receiver that remembers ids takes it once.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import field, frozen

from control_plane.proof.actions import DEVICE_LIFT, DEVICE_REVOKE, SEND_BACK, Action
from shared.canonical_json import to_json

CHECK_REFUSED: Final = "connection.refuse"  # as `connections.checks` records it
ID_HEX_DIGITS: Final = 32  # 128 bits of a SHA-256


class EventKind(StrEnum):
    """What happened: the `type` of a payload."""

    DRAFT_WAITS = "connection.draft_waits"
    APPROVED = "connection.approved"
    ROTATED = "connection.rotated"
    SENT_BACK = "connection.sent_back"
    DRAFT_DISCARDED = "connection.draft_discarded"
    REVOKED = "connection.revoked"
    APPROVAL_ENDS = "connection.approval_ends"
    CHECK_FAILED = "connection.check_failed"
    DEVICE_REVOKED = "device.revoked"
    DEVICE_LIFTED = "device.lifted"
    AUDIT_PROBLEM = "audit.problem"
    GAP = "webhook.gap"
    TEST = "webhook.test"


# Sent to every target, whatever events it names: without them silence could mean two things.
ALWAYS_SENT: Final = frozenset({EventKind.GAP, EventKind.TEST})
CHOSEN_KINDS: Final = tuple(kind for kind in EventKind if kind not in ALWAYS_SENT)
KIND_OF_ACTION: Final[Mapping[str, EventKind]] = {
    Action.CONNECT.value: EventKind.DRAFT_WAITS,
    Action.DRAFT.value: EventKind.DRAFT_WAITS,
    Action.APPROVE.value: EventKind.APPROVED,
    Action.ROTATE.value: EventKind.ROTATED,
    SEND_BACK: EventKind.SENT_BACK,
    Action.DISCARD.value: EventKind.DRAFT_DISCARDED,
    Action.REVOKE.value: EventKind.REVOKED,
    CHECK_REFUSED: EventKind.CHECK_FAILED,
    DEVICE_REVOKE: EventKind.DEVICE_REVOKED,
    DEVICE_LIFT: EventKind.DEVICE_LIFTED,
}


@frozen
class WebhookEvent:
    """One event, as one target is told of it."""

    id: str
    kind: EventKind
    at: datetime
    data: Mapping[str, object] = field(repr=False)

    @property
    def body(self) -> bytes:
        """The payload: the same bytes each time that it is sent."""
        return to_json({"type": self.kind.value, "timestamp": self.at, "data": dict(self.data)})


def event_id(target: str, kind: EventKind, *source: str | int) -> str:
    """Return the id of the event that comes from a source."""
    named = to_json([target, kind.value, *(str(each) for each in source)])
    return f"msg_{hashlib.sha256(named).hexdigest()[:ID_HEX_DIGITS]}"
