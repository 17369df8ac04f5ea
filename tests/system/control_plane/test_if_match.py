"""`ETag` and `If-Match`: a change is made to what was seen, and to nothing newer."""

from collections.abc import Mapping

from tests.support.control_plane import Answer, ControlPlane, Operator
from tests.system.control_plane.test_openapi import require_documented

ALL, ONE = "/v1/connections", "/v1/connections/{id}"


async def tag_of(operator: Operator, path: str) -> str:
    """Return the tag that is shown now."""
    return (await operator.call("GET", path)).headers["ETag"]


def calls(fingerprint: str) -> Mapping[str, tuple[str, str, object]]:
    """Return a body for each call that changes a connection."""
    return {
        "edit": ("PATCH", ONE, {"fleets": ["line-b"]}),
        "describe": ("PATCH", ONE, {"description": "another"}),
        "rotate": ("PUT", f"{ONE}/credential?check=false", {"token": "y"}),
        "send back": ("POST", f"{ONE}/send-back", {"comment": "no"}),
        "approve": ("POST", f"{ONE}/approve", {"fingerprint": fingerprint}),
        "discard": ("DELETE", f"{ONE}/draft", None),
        "revoke": ("POST", f"{ONE}/revoke", {}),
    }


async def test_every_change_is_refused_if_something_else_is_there(
    plane: ControlPlane, host: str
) -> None:
    """And nothing happens; who comes late is told what was done last, and by whom."""
    alice, bob = plane.client("alice"), plane.client("bob")
    view = await bob.approve(await alice.connect(host, username="robot", token="x"))
    path = ONE.replace("{id}", view["id"])
    seen = await tag_of(bob, path)
    view = await alice.edit(view["id"], fleets=["line-a"])
    before = await bob.show(view["id"])
    for name, (method, template, body) in calls(view["draft"]["fingerprint"]).items():
        asked = template.replace("{id}", view["id"])
        answer = await bob.call(method, asked, body, headers={"If-Match": seen})
        require_documented(method, template.partition("?")[0], answer)
        assert answer.status == 412, name
        assert "connection.draft by alice at 20" in answer.json["detail"]
        assert answer.json["conflict"]["id"] == view["id"]
        assert await bob.show(view["id"]) == before
    for name, (method, template, body) in calls(view["draft"]["fingerprint"]).items():
        if name in {"discard", "approve"}:
            continue
        present = await tag_of(bob, path)
        asked = template.replace("{id}", view["id"])
        answer = await bob.call(method, asked, body, headers={"If-Match": f'"x", {present}'})
        assert answer.status == 200, name
        require_tag(answer, await tag_of(bob, path))
    assert (await bob.show(view["id"]))["status"] == "revoked"


def require_tag(answer: Answer, present: str) -> None:
    """Fail unless an answer has the tag of what is there now."""
    assert answer.headers["ETag"] == present


async def test_approval_and_discarding_of_what_was_seen(plane: ControlPlane, host: str) -> None:
    """The tag that a connect answered is the one that is shown; any state fits `*`."""
    alice, bob = plane.client("alice"), plane.client("bob")
    made = await alice.call("POST", f"{ALL}?check=false", {"host": host, "provider": "static"})
    path = ONE.replace("{id}", made.json["id"])
    require_tag(made, await tag_of(bob, path))
    body = {"fingerprint": made.json["fingerprint"]}
    headers = {"If-Match": made.headers["ETag"]}
    approved = await bob.call("POST", f"{path}/approve", body, headers=headers)
    assert approved.status == 200
    late = await bob.call("POST", f"{path}/approve", body, headers=headers)
    assert (late.status, "connection.approve by bob" in late.json["detail"]) == (412, True)
    edited = await alice.call("PATCH", path, {"fleets": ["a"]})
    headers = {"If-Match": edited.headers["ETag"]}
    gone = await alice.call("DELETE", f"{path}/draft", headers=headers)
    assert gone.status == 204
    assert (await alice.call("DELETE", f"{path}/draft", headers={"If-Match": "*"})).status == 404
    missing = f"{ALL}/00000000-0000-4000-8000-000000000000"
    answer = await alice.call("PATCH", missing, {"fleets": []}, headers={"If-Match": "*"})
    assert answer.status == 404


async def test_an_edit_that_changes_nothing_is_held_against_what_was_seen_too(
    plane: ControlPlane, host: str
) -> None:
    """Else its caller would believe that the connection is as they saw it."""
    alice = plane.client("alice")
    view = await alice.connect(host)
    path = ONE.replace("{id}", view["id"])
    headers = {"If-Match": await tag_of(alice, path)}
    assert (await alice.call("PATCH", path, {"fleets": []}, headers=headers)).status == 200
    await alice.edit(view["id"], description="another")
    answer = await alice.call("PATCH", path, {"fleets": []}, headers=headers)
    assert answer.status == 412


async def test_a_revocation_is_lifted_if_it_is_the_one_that_was_seen(plane: ControlPlane) -> None:
    """An id is never given twice, so only a changed row makes another."""
    bob, template = plane.client("bob"), "/v1/device-revocations/{id}"
    view = await bob.revoke_device(device="press-of-a-tag")
    path = template.replace("{id}", view["id"])
    answer = await bob.call("DELETE", path, headers={"If-Match": '"other"'})
    require_documented("DELETE", template, answer)
    assert answer.status == 412
    assert "bob revoked it at 20" in answer.json["detail"]
    headers = {"If-Match": await tag_of(bob, path)}
    assert (await bob.call("DELETE", path, headers=headers)).status == 204
