"""What a payload says, and its id."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from control_plane.webhooks.approval_ends import NOTICE_DAYS, due_notice
from control_plane.webhooks.event import KIND_OF_ACTION, EventKind, event_id
from control_plane.webhooks.payload import event_of_entry
from shared.statement import AuditEntry

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
SUBJECT = "connection/6f1de1a4-6a4c-4f0e-9d07-7b1e2a7f5a11"
DAY = timedelta(days=1)


def entry(**details: str) -> AuditEntry:
    """Return an entry with these details."""
    return AuditEntry(9, "aa", AT, "bob", "connection.approve", SUBJECT, 5, details)


def test_only_details_of_the_list_go_out() -> None:
    """What is added to entries later stays inside."""
    said = entry(fingerprint="sha256:00", reason="<b>moved</b>", replaced_token_sha256="canary")
    event = event_of_entry("pager", EventKind.APPROVED, said, "hash", None)
    body = orjson.loads(event.body)
    assert body["type"] == "connection.approved"
    assert body["timestamp"] == "2026-11-29T12:00:00.000Z"
    assert body["data"]["details"] == {"fingerprint": "sha256:00", "reason": "<b>moved</b>"}
    assert body["data"]["connection"]["host"] is None
    assert b"canary" not in event.body


def test_an_event_that_is_made_again_is_the_same() -> None:
    """Byte by byte; another target, kind or entry has another id."""
    made = [event_of_entry("pager", EventKind.APPROVED, entry(), "hash", None) for _ in "12"]
    assert made[0].body == made[1].body
    ids = {
        event_id(target, kind, source)
        for target in ("pager", "chat")
        for kind in (EventKind.APPROVED, EventKind.REVOKED)
        for source in ("a", "b")
    }
    assert len(ids) == 8
    assert made[0].id == event_id("pager", EventKind.APPROVED, "hash")


def test_each_kind_comes_from_an_act_or_from_elsewhere() -> None:
    """No kind is promised that nothing makes."""
    elsewhere = {
        EventKind.APPROVAL_ENDS,
        EventKind.AUDIT_PROBLEM,
        EventKind.GAP,
        EventKind.TEST,
    }
    assert set(KIND_OF_ACTION.values()) | elsewhere == set(EventKind)


@pytest.mark.parametrize(
    "left, since, days",
    [
        (15 * DAY, DAY, None),
        (14 * DAY, DAY, 14),
        (13.5 * DAY, DAY, 14),
        (13.5 * DAY, DAY / 4, None),  # it was told before
        (6 * DAY, DAY, 7),
        (DAY, DAY, 1),
        (DAY / 2, 20 * DAY, 1),  # of three, the most urgent
        (-DAY, 20 * DAY, 1),  # it has ended while nobody could tell
        (-DAY, DAY, None),
    ],
)
def test_a_notice_is_due_14_7_and_1_days_before_the_end(
    left: timedelta, since: timedelta, days: int | None
) -> None:
    """Once each; after a long rest the most urgent one alone."""
    assert due_notice(AT + left, AT - since, AT) == days
    assert set(NOTICE_DAYS) == {14, 7, 1}
