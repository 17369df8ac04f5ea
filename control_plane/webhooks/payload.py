"""What a payload says: from a verified entry, a verified approval, or our own words. Pure.

Of an entry's details only those in a list go out. None of them is a secret; what is added to
entries later stays inside until somebody adds it here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from control_plane.webhooks.event import EventKind, WebhookEvent, event_id
from control_plane.webhooks.position import EventGap
from shared.connection import ConnectionDocument
from shared.statement import AuditEntry, ConnectionApproval

# Of an entry's details. The check is what the registry answered, in our own words.
SHOWN_DETAILS: Final = (
    "revision",
    "fingerprint",
    "check",
    "check_problem",
    "reason",
    "comment",
    "revocation",
    "actor_name",  # how people call an actor of single sign-on
)
_CONNECTION: Final = "connection/"
_REGISTRY: Final = "registry/"


def connection_of(subject: str) -> UUID | None:
    """Return the connection that a subject names, if it names one."""
    try:
        return UUID(subject.removeprefix(_CONNECTION)) if subject.startswith(_CONNECTION) else None
    except ValueError:
        return None


def event_of_entry(
    target: str,
    kind: EventKind,
    entry: AuditEntry,
    entry_hash: str,
    document: ConnectionDocument | None,
) -> WebhookEvent:
    """Return the event of a verified entry; the document is the one that its fingerprint names."""
    details = {name: entry.details[name] for name in SHOWN_DETAILS if name in entry.details}
    data: dict[str, object] = {
        "sequence": entry.generation,
        "entry": entry_hash,
        "actor": entry.actor,
        "action": entry.action,
        "about": entry.about,
        "details": details,
    }
    if (connection := connection_of(entry.about)) is not None:
        data["connection"] = _connection(connection, document)
    if entry.about.startswith(_REGISTRY):
        data["host"] = entry.about.removeprefix(_REGISTRY)
    return WebhookEvent(event_id(target, kind, entry_hash), kind, entry.at, data)


def _connection(connection: UUID, document: ConnectionDocument | None) -> Mapping[str, object]:
    """Return what is known of a connection; null where its document is not stored any more."""
    prefix = document.repository_prefix if document else None
    return {
        "id": str(connection),
        "host": str(document.host) if document else None,
        "repository_prefix": None if document is None else str(prefix or ""),
        "provider": document.provider.value if document else None,
    }


def event_of_end(
    target: str, approval: ConnectionApproval, days: int, due: datetime
) -> WebhookEvent:
    """Return the event of a verified approval that ends within some days."""
    kind = EventKind.APPROVAL_ENDS
    document = ConnectionDocument.from_bytes(approval.document.encode())
    return WebhookEvent(
        event_id(target, kind, str(approval.connection_id), approval.generation, days),
        kind,
        due,
        {
            "connection": _connection(approval.connection_id, document),
            "days": days,
            "expires_at": approval.expires_at,
            "fingerprint": approval.fingerprint,
            "approved_by": approval.approved_by,
            "approved_at": approval.approved_at,
            "generation": approval.generation,
        },
    )


def event_of_gap(target: str, gap: EventGap, at: datetime) -> WebhookEvent:
    """Return the event that says which entries' events are not sent."""
    return WebhookEvent(
        event_id(target, EventKind.GAP, gap.after, gap.up_to, gap.reason.value),
        EventKind.GAP,
        at,
        {"after": gap.after, "up_to": gap.up_to, "reason": gap.reason.value},
    )


def event_of_problem(target: str, part: str, kind: str, words: str, at: datetime) -> WebhookEvent:
    """Return the event of a problem with the audit log: once a day while it lasts."""
    return WebhookEvent(
        event_id(target, EventKind.AUDIT_PROBLEM, part, kind, at.date().isoformat()),
        EventKind.AUDIT_PROBLEM,
        at,
        {"part": part, "problem": words},
    )


def event_of_test(target: str, at: datetime) -> WebhookEvent:
    """Return the event that an operator sends to try a target."""
    kind = EventKind.TEST
    return WebhookEvent(
        event_id(target, kind, at.isoformat()), kind, at, {"target": target, "message": "a test"}
    )
