"""What waits to be sent: enough to find it again, and to make its payload when it is sent."""

from datetime import datetime

from attrs import frozen

from control_plane.proof.signed_log import Place
from control_plane.webhooks.event import EventKind, WebhookEvent
from control_plane.webhooks.position import EventGap


@frozen
class LogEvent:
    """An entry of the audit log, proven to be in it."""

    place: Place
    kind: EventKind
    lane: str  # what the entry is about


@frozen
class EndNotice:
    """A verified approval that ends within some days."""

    event: WebhookEvent
    lane: str  # the connection
    due: datetime


@frozen
class GapNotice:
    """Entries whose events are not sent."""

    gap: EventGap
    noticed_at: datetime
    lane: str = "webhook"


WaitingEvent = LogEvent | EndNotice | GapNotice


@frozen
class ProblemNotice:
    """A problem with the audit log."""

    event: WebhookEvent
    lane: str = "audit"
