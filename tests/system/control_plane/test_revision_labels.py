"""The set and the secret's label of a connection: signed in the log, approved with the draft."""

import pytest

from tests.support.control_plane import ControlPlane, Json, approved_connection
from tests.support.database import Database
from tests.support.days_ahead import day_ahead, noon_of

CANARY = "canary-token-with-a-label"
MEMBER: Json = {
    "username": "robot",
    "token": CANARY,
    "secret_label": "2026-11",
    "set_name": "hall-1",
}


def labels(view: Json) -> tuple[str | None, str | None]:
    """Return the two, of a view or a draft."""
    return view["set_name"], view["secret_label"]


async def test_labels_stay_with_what_is_approved_until_another_draft_is(
    plane: ControlPlane,
) -> None:
    """A set's name alone makes a draft: only what an approver saw may end a connection."""
    view = await approved_connection(plane, "labelled.example", **MEMBER)
    assert labels(view) == ("hall-1", "2026-11")
    beside = await plane.client("alice").edit(view["id"], set_name="hall-2")
    assert labels(beside) == ("hall-1", "2026-11")
    assert labels(beside["draft"]) == ("hall-2", "2026-11")
    assert labels(await plane.client("bob").approve(beside)) == ("hall-2", "2026-11")
    same = await plane.client("alice").edit(view["id"], set_name="hall-2")
    assert same["draft"] is None
    none = await plane.client("alice").edit(view["id"], set_name=None)
    assert labels(none["draft"]) == (None, "2026-11")


async def test_a_new_secret_has_a_new_label_or_none(plane: ControlPlane) -> None:
    """An old label at a new secret would say that nothing is new."""
    view = await approved_connection(plane, "relabelled.example", **MEMBER)
    alice = plane.client("alice")
    new = await alice.put_credential(view["id"], token=CANARY, secret_label="2026-12")
    assert labels(new["draft"]) == ("hall-1", "2026-12")
    unsaid = await alice.put_credential(view["id"], token=CANARY)
    assert labels(unsaid["draft"]) == ("hall-1", None)
    anonymous = await alice.edit(view["id"], username=None)
    assert labels(anonymous["draft"]) == ("hall-1", None)


async def test_a_label_without_its_secret_is_refused(plane: ControlPlane) -> None:
    """Whoever reads it later would believe that the secret is that one."""
    view = await approved_connection(plane, "unlabelled.example", **MEMBER)
    answer = await plane.client("alice").edit(view["id"], expect=422, secret_label="2026-12")
    assert [each["pointer"] for each in answer["errors"]] == ["/secret_label"]
    refused = await plane.client("alice").connect(
        "unlabelled-2.example", expect=422, secret_label="", set_name="-"
    )
    assert {each["pointer"] for each in refused["errors"]} == {"/secret_label", "/set_name"}


@pytest.mark.parametrize("action", ["connection.approve", "connection.connect"])
async def test_who_writes_into_the_database_puts_nothing_into_a_set(
    own_plane: ControlPlane, database: Database, action: str
) -> None:
    """The set is read from signed entries alone, so `apply --prune` ends nothing by a row."""
    approved = action == "connection.approve"
    member: Json = {**MEMBER, "set_name": None}
    if approved:
        view = await approved_connection(own_plane, "registry.example", **member)
    else:
        view = await own_plane.client("alice").connect("registry.example", **member)
    database.sql(
        "UPDATE audit_entries SET payload = replace(encode(payload, 'escape'),"
        ' \'"details":{\', \'"details":{"set_name":"hall-1",\')::bytea'
        f" WHERE action = '{action}'"
    )
    shown = await own_plane.client("eve").call("GET", f"/v1/connections/{view['id']}")
    assert shown.status == 503 or (shown.json["set_name"], shown.json["serves"]) == (None, False)


LAST_DAY = day_ahead(4)
END, LATER = noon_of(LAST_DAY), noon_of(day_ahead(5))


async def test_the_end_of_a_credential_is_stated_with_it_or_later(plane: ControlPlane) -> None:
    """A new secret has an end of its own, or none; an edit of the end alone is a draft, too."""
    view = await approved_connection(
        plane, "ending.example", **MEMBER, credential_expires_at=f"{LAST_DAY}T13:00:00+01:00"
    )
    alice, bob = plane.client("alice"), plane.client("bob")
    assert view["credential_expires_at"] == END
    beside = await alice.edit(view["id"], credential_expires_at=LATER)
    assert beside["credential_expires_at"] == END
    assert beside["draft"]["credential_expires_at"] == LATER
    kept = await alice.edit(view["id"], fleets=["line-a"])
    assert kept["draft"]["credential_expires_at"] == LATER
    assert (await bob.approve(kept))["credential_expires_at"] == LATER
    unsaid = await alice.put_credential(view["id"], token=CANARY)
    assert unsaid["draft"]["credential_expires_at"] is None
    await alice.discard(view["id"])
    rotated = await bob.put_credential(
        view["id"], token=CANARY, approve=True, credential_expires_at=END
    )
    assert (rotated["credential_expires_at"], rotated["draft"]) == (END, None)
    unknown = await alice.edit(view["id"], credential_expires_at=None)
    assert unknown["draft"]["credential_expires_at"] is None
    answer = await alice.call("GET", f"/v1/connections/{view['id']}/history?limit=2")
    ends = {"field": "credential_expires_at", "before": END, "after": None}
    assert answer.json["items"][0]["changes"] == [ends]


async def test_what_has_no_secret_has_no_end_of_one(plane: ControlPlane) -> None:
    """An anonymous connection, a role; and a time that is none."""
    alice = plane.client("alice")
    for fields in (
        {"credential_expires_at": END},
        {**MEMBER, "credential_expires_at": "tomorrow"},
        {
            "provider": "aws_ecr",
            "role_arn": "arn:aws:iam::407407407407:role/pull",
            "credential_expires_at": END,
        },
    ):
        ecr = "407407407407.dkr.ecr.eu-central-1.amazonaws.com"
        host = ecr if "role_arn" in fields else "endless.example"
        wrong = await alice.connect("a b", expect=422, **fields)
        assert "there is no such field" not in str(wrong)
        answer = await alice.connect(host, expect=422, **fields)
        assert [each["pointer"] for each in answer["errors"]] == ["/credential_expires_at"]
