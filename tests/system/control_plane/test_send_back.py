"""An approver sends a draft back, with a comment; what is sent back is told by the signed log."""

import pytest

from tests.support.control_plane import ControlPlane, Json, Operator, approved_connection
from tests.support.database import Database
from tests.support.shell import shell
from tests.system.control_plane.test_openapi import require_documented

PATH = "/v1/connections/{id}/send-back"
WHY = "line-a has no such press"


async def send_back(
    operator: Operator, connection_id: str, *, expect: int = 200, **fields: object
) -> Json:
    """Send a draft back, and return the view or the problem."""
    path = PATH.replace("{id}", connection_id)
    answer = await operator.call("POST", path, {"comment": WHY, **fields})
    require_documented("POST", PATH, answer)
    assert answer.status == expect, answer.body
    return dict(answer.json)


@pytest.mark.parametrize("serves", [False, True])
async def test_a_draft_that_is_sent_back_stays_and_says_so(
    plane: ControlPlane, host: str, *, serves: bool
) -> None:
    """By whom, when, why; until it is edited. A draft alone says it of the connection."""
    alice, bob = plane.client("alice"), plane.client("bob")
    view = await (approved_connection(plane, host) if serves else alice.connect(host))
    if serves:
        view = await alice.edit(view["id"], fleets=["line-a"])
    draft = view["draft"] or view
    assert draft["sent_back"] is None
    sent = await send_back(bob, view["id"], fingerprint=draft["fingerprint"])
    back = (sent["draft"] or sent)["sent_back"]
    assert back == {"by": "bob", "at": back["at"], "comment": WHY}
    expected = (
        {**view, "draft": {**draft, "sent_back": back}} if serves else view | {"sent_back": back}
    )
    assert sent == expected == await alice.show(view["id"])
    assert sent["sent_back"] == (None if serves else back)
    unchanged = await alice.edit(view["id"], fleets=["line-a"] if serves else [], description="x")
    assert (unchanged["draft"] or unchanged)["sent_back"] == back
    edited = await alice.edit(view["id"], fleets=["line-b"])
    assert (edited["draft"] or edited)["sent_back"] is None
    assert (await bob.approve(edited))["sent_back"] is None


async def test_who_approves_what_was_sent_back_says_that_they_know(
    plane: ControlPlane, host: str
) -> None:
    """Another approver learns who sent it back, and why, from the refusal."""
    bob, root = plane.client("bob"), plane.client("root")
    view = await send_back(bob, (await plane.client("alice").connect(host))["id"])
    problem = await root.approve(view, expect=409)
    at = view["sent_back"]["at"]
    assert f"bob sent the draft back at {at}: {WHY}" in problem["detail"]
    assert "despite_send_back" in problem["detail"]
    assert problem["conflict"]["id"] == view["id"]
    approved = await root.approve(view, despite_send_back=True)
    assert (approved["status"], approved["sent_back"]) == ("approved", None)


async def test_the_same_words_are_recorded_once(plane: ControlPlane, host: str) -> None:
    """So a call whose answer was lost may be repeated; other words, or others' words, are new."""
    bob, root = plane.client("bob"), plane.client("root")
    view = await plane.client("alice").connect(host)
    first, again = [await send_back(bob, view["id"]) for _ in range(2)]
    assert first == again
    assert (await send_back(bob, view["id"], comment="other"))["sent_back"]["comment"] == "other"
    last = await send_back(root, view["id"], comment="other")
    assert last["sent_back"]["by"] == "root"
    answer = await bob.call("GET", f"/v1/connections/{view['id']}/history")
    assert [each["action"] for each in answer.json["items"]] == [
        *["connection.send_back"] * 3,
        "connection.connect",
    ]
    assert answer.json["items"][0]["details"]["comment"] == "other"


async def test_what_cannot_be_sent_back(plane: ControlPlane, host: str) -> None:
    """Nothing that waits, another draft than was seen, what is revoked; no words, many words."""
    alice, bob = plane.client("alice"), plane.client("bob")
    view = await alice.connect(host)
    problem = await send_back(bob, view["id"], fingerprint=f"sha256:{'0' * 64}", expect=409)
    assert "another fingerprint (alice made it" in problem["detail"]
    for comment in ("", "x" * 1001, "two\nlines", None, 1):
        wrong = await send_back(bob, view["id"], comment=comment, expect=422)
        assert [each["pointer"] for each in wrong["errors"]] == ["/comment"]
    await bob.approve(view)
    assert "no draft waits" in (await send_back(bob, view["id"], expect=409))["detail"]
    await bob.revoke(view["id"])
    assert "revoked" in (await send_back(bob, view["id"], expect=409))["detail"]
    await send_back(bob, "00000000-0000-4000-8000-000000000000", expect=404)
    await send_back(alice, view["id"], expect=403)


async def test_whoever_writes_in_the_database_neither_sends_back_nor_hides_it(
    own_plane: ControlPlane, database: Database
) -> None:
    """It is told by the chain: a start without a checkpoint, and one with it, know the same."""
    bob = own_plane.client("bob")
    view = await send_back(bob, (await own_plane.client("alice").connect("a.example"))["id"])
    other = await own_plane.client("alice").connect("b.example")
    await own_plane.restart()
    assert await bob.show(view["id"]) == view
    database.sql(
        f"UPDATE audit_entries SET about = 'connection/{other['id']}'"
        " WHERE action = 'connection.send_back'"
    )
    assert await bob.show(view["id"]) == view
    assert (await bob.show(other["id"]))["sent_back"] is None
    database.sql("UPDATE audit_entries SET payload = 'x' WHERE action = 'connection.send_back'")
    changed = await bob.show(view["id"])
    assert "draft is not believed" in changed["problem"]
    await bob.approve(view, despite_send_back=True, expect=409)


async def test_send_back_from_a_shell(plane: ControlPlane, host: str) -> None:
    """The state says who sent it back; `approve` needs to be told, `edit` answers."""
    view = await plane.client("alice").connect(host)
    sent = await shell(plane, "connections", "send-back", host, "--comment", WHY, operator="bob")
    assert sent.status == 0
    assert f"{host} was sent back by bob at 20" in sent.output
    assert WHY in sent.output
    assert "edit" in sent.words
    approve = ("connections", "approve", host, "--fingerprint", view["fingerprint"])
    refused = await shell(plane, *approve, operator="bob")
    assert refused.status == 1
    assert "--despite-send-back" in refused.words
    done = await shell(plane, *approve, "--despite-send-back", operator="bob")
    assert done.status == 0
    without = await shell(plane, "connections", "send-back", host, operator="bob")
    assert (without.status, "--comment" in without.words) == (2, True)
