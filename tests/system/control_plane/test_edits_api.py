"""Editing through the API: a draft is made, changed, discarded; what serves goes on serving."""

import asyncio
from typing import Any

import pytest

from tests.support.control_plane import ControlPlane, approved_connection
from tests.support.database import Database

CANARY = "canary-of-an-edit"
ROBOT: dict[str, Any] = {"username": "robot", "token": CANARY}


async def test_an_edit_makes_a_draft_that_waits(plane: ControlPlane, host: str) -> None:
    """Nothing changes for devices before somebody approved it; the secret is kept."""
    view = await approved_connection(plane, host, **ROBOT)
    edited = await plane.client("alice").edit(view["id"], repositories=["team/*"], fleets=["a"])
    assert (edited["status"], edited["repositories"], edited["fleets"]) == ("approved", [], [])
    draft = edited["draft"]
    assert (draft["repositories"], draft["fleets"], draft["by"]) == (["team/*"], ["a"], "alice")
    assert draft["secret_version"] == edited["secret_version"] == 1
    after = await plane.client("bob").approve(edited)
    assert (after["repositories"], after["draft"]) == (["team/*"], None)


async def test_a_second_edit_changes_the_draft(plane: ControlPlane, host: str) -> None:
    """There is one draft at most; what was seen before can no longer be approved."""
    view = await approved_connection(plane, host)
    alice, bob = plane.client("alice"), plane.client("bob")
    first = await alice.edit(view["id"], repositories=["team/*"])
    second = await alice.edit(view["id"], fleets=["a"])
    draft = second["draft"]
    assert (draft["repositories"], draft["fleets"]) == (["team/*"], ["a"])
    await bob.approve(first, expect=409)
    assert (await bob.approve(second))["fleets"] == ["a"]


async def test_a_pending_connection_is_edited_in_place(plane: ControlPlane, host: str) -> None:
    """Its view is the draft's."""
    view = await plane.client("alice").connect(host, **ROBOT)
    edited = await plane.client("root").edit(view["id"], fleets=["a"])
    assert (edited["status"], edited["fleets"], edited["draft"]) == ("pending", ["a"], None)
    assert edited["connected_by"] == "root"
    assert edited["fingerprint"] != view["fingerprint"]


async def test_nothing_new_makes_nothing(plane: ControlPlane, host: str) -> None:
    """Saying it again is no act."""
    view = await plane.client("alice").connect(host, fleets=["a"], description="hall")
    entries = len(await plane.client("eve").audit())
    same: tuple[dict[str, Any], ...]
    same = ({}, {"fleets": ["a"]}, {"description": "hall"}, {"repositories": None})
    for fields in same:
        assert await plane.client("root").edit(view["id"], **fields) == view
    assert len(await plane.client("eve").audit()) == entries


async def test_a_description_holds_at_once(own_plane: ControlPlane) -> None:
    """It is outside the revisions, and no draft comes of it; the log has it."""
    view = await approved_connection(own_plane, "registry.example", description="old")
    alice = own_plane.client("alice")
    described = await alice.edit(view["id"], description="the press hall")
    assert (described["description"], described["draft"]) == ("the press hall", None)
    assert described["fingerprint"] == view["fingerprint"]
    both = await alice.edit(view["id"], description=None, fleets=["a"])
    assert (both["description"], both["draft"]["fleets"]) == ("", ["a"])
    entries = (await alice.audit())[-2:]
    assert [entry["action"] for entry in entries] == ["connection.describe", "connection.draft"]
    assert entries[0]["details"] == {"description": "the press hall"}
    assert (await own_plane.client("bob").approve(both))["status"] == "approved"


async def test_what_the_seal_binds_needs_the_secret_again(plane: ControlPlane, host: str) -> None:
    """The answer names what changed and what is missing, and nothing is stored."""
    view = await approved_connection(plane, host, **ROBOT)
    alice = plane.client("alice")
    realms = ["https://auth.example/token"]
    problem = await alice.edit(view["id"], expect=422, auth_realms=realms)
    assert [error["pointer"] for error in problem["errors"]] == ["/auth_realms", "/token"]
    assert "again" in problem["errors"][0]["detail"]
    assert await alice.show(view["id"]) == view
    edited = await alice.edit(view["id"], auth_realms=realms, token=CANARY)
    assert edited["draft"]["auth_realms"] == realms
    assert edited["draft"]["secret_version"] == 2


async def test_a_place_cannot_change(plane: ControlPlane, host: str) -> None:
    """Another host or prefix is another connection."""
    view = await plane.client("alice").connect(host)
    problem = await plane.client("alice").edit(
        view["id"], expect=422, host="ghcr.io", repository_prefix="team", fleets=1, hosst="x"
    )
    assert {error["pointer"] for error in problem["errors"]} == {
        "/host",
        "/repository_prefix",
        "/fleets",
        "/hosst",
    }


async def test_a_discarded_draft_is_gone(own_plane: ControlPlane) -> None:
    """What serves goes on, and the log says who threw away what."""
    view = await approved_connection(own_plane, "registry.example")
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    await alice.discard(view["id"], expect=404)
    edited = await alice.edit(view["id"], fleets=["a"])
    await alice.discard(view["id"])
    assert await alice.show(view["id"]) == view
    await bob.approve(edited, expect=409)
    entry = (await alice.audit())[-1]
    assert (entry["action"], entry["actor"]) == ("connection.discard", "alice")
    assert entry["details"]["fingerprint"] == edited["draft"]["fingerprint"]
    again = await alice.edit(view["id"], fleets=["b"])
    assert (await bob.approve(again))["fleets"] == ["b"]
    await alice.discard((await alice.connect("other.example"))["id"])
    own_plane.run("audit", "verify")


async def test_a_discarded_lone_draft_ends_the_connection(plane: ControlPlane, host: str) -> None:
    """It frees the place, is shown as revoked for ever, and can be nothing else any more."""
    alice, bob = plane.client("alice"), plane.client("bob")
    view = await alice.connect(host, **ROBOT)
    await alice.discard(view["id"])
    shown = await alice.show(view["id"])
    assert (shown["status"], shown["revoked_by"], shown["problem"]) == ("revoked", "alice", None)
    assert (shown["username"], shown["fingerprint"]) == ("robot", view["fingerprint"])
    assert shown["revoked_at"] is not None
    await alice.edit(view["id"], expect=409, fleets=["a"])
    await alice.put_credential(view["id"], expect=409, token="x")
    await alice.discard(view["id"], expect=409)
    await bob.approve(view, expect=409)
    await bob.revoke(view["id"], expect=409)
    again = await alice.connect(host)
    assert again["id"] != view["id"]


async def test_a_discarded_draft_put_back_is_not_believed(
    own_plane: ControlPlane, database: Database
) -> None:
    """Neither beside what serves, nor as a connection come back."""
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    served = await approved_connection(own_plane, "one.example")
    beside = await alice.edit(served["id"], fleets=["a"])
    await alice.discard(served["id"])
    lone = await alice.connect("two.example")
    await alice.discard(lone["id"])
    database.sql(
        f"UPDATE connections SET draft_revision = 2 WHERE id = '{served['id']}';"
        f"UPDATE connections SET revoked_at = NULL WHERE id = '{lone['id']}'"
    )
    shown = await bob.show(served["id"])
    assert (shown["status"], shown["draft"]) == ("approved", None)
    assert "not believed" in shown["problem"]
    await bob.approve(beside, expect=409)
    await alice.discard(served["id"])
    assert (await bob.show(served["id"]))["problem"] is None
    assert (await bob.show(lone["id"]))["status"] == "revoked"
    await bob.approve(lone, expect=409)


@pytest.mark.parametrize("call", ["edit", "put", "discard", "grant"])
async def test_a_viewer_changes_nothing(plane: ControlPlane, host: str, call: str) -> None:
    """Each of these is a connector's; nobody's business without a token."""
    view = await plane.client("alice").connect(host, **ROBOT)
    path = f"/v1/connections/{view['id']}"
    method, path, body = {
        "edit": ("PATCH", path, {"fleets": ["a"]}),
        "put": ("PUT", f"{path}/credential", {"token": "x"}),
        "discard": ("DELETE", f"{path}/draft", None),
        "grant": ("GET", f"{path}/grant", None),
    }[call]
    assert (await plane.client("eve").call(method, path, body)).status == 403
    assert (await plane.client(None).call(method, path, body)).status == 401
    assert await plane.client("alice").show(view["id"]) == view


async def test_two_edits_at_once_lose_nothing_silently(plane: ControlPlane, host: str) -> None:
    """Each is made upon what it was planned for, or refused."""
    view = await approved_connection(plane, host)
    path = f"/v1/connections/{view['id']}?check=false"
    calls = (
        plane.client("alice").call("PATCH", path, {"fleets": [f"line-{number}"]})
        for number in range(8)
    )
    answers = await asyncio.gather(*calls)
    assert {answer.status for answer in answers} <= {200, 409}
    made = [answer.json["draft"]["fleets"] for answer in answers if answer.status == 200]
    assert made
    assert (await plane.client("alice").show(view["id"]))["draft"]["fleets"] in made


async def test_a_merge_patch_may_say_that_it_is_one(plane: ControlPlane, host: str) -> None:
    """RFC 7396's own media type, for a PATCH alone."""
    view = await plane.client("alice").connect(host, **ROBOT)
    path, headers = (
        f"/v1/connections/{view['id']}",
        {"Content-Type": "application/merge-patch+json"},
    )
    alice = plane.client("alice")
    answer = await alice.call("PATCH", path, content=b'{"fleets": ["a"]}', headers=headers)
    assert (answer.status, answer.json["fleets"]) == (200, ["a"])
    other = await alice.call("PUT", f"{path}/credential", content=b"{}", headers=headers)
    assert other.status == 415
    assert "merge-patch" not in other.json["detail"]
    text = await alice.call("PATCH", path, content=b"{}", headers={"Content-Type": "text/plain"})
    assert "application/json or application/merge-patch+json" in text.json["detail"]
