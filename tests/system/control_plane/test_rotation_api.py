"""A new secret: it waits for an approver, or follows the old one under an approval that holds."""

from typing import Any

from shared.approved_connection import approved_connection as approved
from shared.keys import load_sealing_private_keys
from shared.sealed_secret import open_sealed
from shared.secret import Secret
from tests.support.control_plane import (
    ControlPlane,
    approved_connection,
    approved_until_it_expired,
    served,
)
from tests.support.database import Database

OLD, NEW = "canary-the-old-secret", "canary-the-new-secret"


async def serving_secret(plane: ControlPlane, connection_id: str) -> Secret:
    """Return what the facade opens."""
    connection = approved(await served(plane, connection_id))
    (private_key,) = load_sealing_private_keys(plane.keys.sealing_private.read_bytes()).values()
    assert connection.sealed_secret is not None
    return open_sealed(connection.sealed_secret, private_key, connection.seal_context)


async def test_the_old_secret_serves_until_the_new_one_is_approved(
    plane: ControlPlane, host: str
) -> None:
    """A rotation interrupts nothing."""
    view = await approved_connection(plane, host, username="robot", token=OLD, fleets=["a"])
    rotated = await plane.client("alice").put_credential(view["id"], token=NEW)
    assert await serving_secret(plane, view["id"]) == Secret(OLD)
    draft = rotated["draft"]
    assert (draft["secret_version"], draft["username"], draft["fleets"]) == (2, "robot", ["a"])
    await plane.client("bob").approve(rotated)
    assert await serving_secret(plane, view["id"]) == Secret(NEW)


async def test_an_approver_may_let_it_serve_at_once(own_plane: ControlPlane) -> None:
    """The approval that is there is carried on, its end too; the log says rotate, not approve."""
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    view = await alice.connect("registry.example", username="robot", token=OLD)
    before = await bob.approve(view, expires_at="2999-01-01T00:00:00Z")
    after = await bob.put_credential(view["id"], token=NEW, approve=True)
    assert (after["draft"], after["secret_version"]) == (None, 2)
    assert (after["connected_by"], after["approved_by"]) == ("alice", "bob")
    assert after["expires_at"] == before["expires_at"]
    assert after["generation"] > before["generation"]
    assert await serving_secret(own_plane, view["id"]) == Secret(NEW)
    entry = (await bob.audit())[-1]
    assert (entry["action"], entry["actor"]) == ("connection.rotate", "bob")
    assert entry["about_generation"] == after["generation"]
    assert entry["details"]["fingerprint"] == after["fingerprint"]
    own_plane.run("audit", "verify")


async def test_a_connector_may_not_approve_what_it_rotates(plane: ControlPlane, host: str) -> None:
    """403, and nothing is stored."""
    view = await approved_connection(plane, host, username="robot", token=OLD)
    alice = plane.client("alice")
    await alice.put_credential(view["id"], expect=403, token=NEW, approve=True)
    assert await alice.show(view["id"]) == view
    assert (await alice.put_credential(view["id"], token=NEW, approve=False))["draft"]


async def test_no_draft_is_approved_by_the_way(plane: ControlPlane, host: str) -> None:
    """What waits beside was not seen: 409, and the draft is as it was."""
    view = await approved_connection(plane, host, username="robot", token=OLD)
    beside = await plane.client("alice").edit(view["id"], fleets=["line-b"])
    bob = plane.client("bob")
    problem = await bob.put_credential(view["id"], expect=409, token=NEW, approve=True)
    assert "draft waits" in problem["detail"]
    assert await bob.show(view["id"]) == beside
    with_secret = await bob.put_credential(view["id"], token=NEW)
    assert with_secret["draft"]["fleets"] == ["line-b"]
    assert with_secret["draft"]["secret_version"] == 3
    assert await serving_secret(plane, view["id"]) == Secret(OLD)


async def test_what_was_never_approved_is_not_approved_by_the_way(
    plane: ControlPlane, host: str
) -> None:
    """There is no approval to carry on; without `approve` the draft gets the secret."""
    view = await plane.client("alice").connect(host, username="robot", token=OLD)
    bob = plane.client("bob")
    await bob.put_credential(view["id"], expect=409, token=NEW, approve=True)
    assert await bob.show(view["id"]) == view
    rotated = await bob.put_credential(view["id"], token=NEW)
    assert (rotated["status"], rotated["secret_version"]) == ("pending", 2)


async def test_another_user_name_wants_an_approver(plane: ControlPlane, host: str) -> None:
    """More than the secret changes: it is a draft like any other."""
    view = await approved_connection(plane, host, username="robot", token=OLD)
    bob = plane.client("bob")
    problem = await bob.put_credential(
        view["id"], expect=409, token=NEW, approve=True, username="other"
    )
    assert "more than the secret" in problem["detail"]
    rotated = await bob.put_credential(view["id"], token=NEW, username="other")
    assert rotated["draft"]["username"] == "other"


async def test_an_approval_that_does_not_verify_is_not_carried_on(
    own_plane: ControlPlane, database: Database
) -> None:
    """A row that somebody changed gets no new signature."""
    view = await approved_connection(own_plane, "registry.example", username="robot", token=OLD)
    other = await approved_connection(own_plane, "other.example", username="robot", token=OLD)
    database.sql(
        "UPDATE statements SET payload = (SELECT payload FROM statements WHERE subject ="
        f" 'connection/{other['id']}') WHERE subject = 'connection/{view['id']}'"
    )
    bob = own_plane.client("bob")
    await bob.put_credential(view["id"], expect=409, token=NEW, approve=True)
    database.sql(f"UPDATE connections SET host = 'evil.example' WHERE id = '{other['id']}'")
    await bob.put_credential(other["id"], expect=409, token=NEW, approve=True)


async def test_an_approval_that_has_expired_is_not_carried_on(own_plane: ControlPlane) -> None:
    """Trust that was given for a time has ended."""
    bob = own_plane.client("bob")
    view = await own_plane.client("alice").connect("registry.example", username="r", token=OLD)
    await approved_until_it_expired(own_plane, view)
    problem = await bob.put_credential(view["id"], expect=409, token=NEW, approve=True)
    assert "expired" in problem["detail"]
    assert "leave out approve (in a shell: --approve)" in problem["detail"]


async def test_where_a_second_is_required_nobody_rotates_alone(own_plane: ControlPlane) -> None:
    """Four eyes on a secret too."""
    view = await approved_connection(own_plane, "registry.example", username="robot", token=OLD)
    own_plane.stop()
    own_plane.environment["CONTROL_PLANE_REQUIRE_SECOND_APPROVER"] = "true"
    await own_plane.restart()
    root, bob = own_plane.client("root"), own_plane.client("bob")
    problem = await root.put_credential(view["id"], expect=409, token=NEW, approve=True)
    assert "leave out approve (in a shell: --approve)" in problem["detail"]
    rotated = await root.put_credential(view["id"], token=NEW)
    await root.approve(rotated, expect=409)
    assert (await bob.approve(rotated))["secret_version"] == 2


async def test_versions_never_come_twice(plane: ControlPlane, host: str) -> None:
    """Also after drafts that were discarded: what was sealed once stays another secret."""
    view = await approved_connection(plane, host, username="robot", token=OLD)
    alice = plane.client("alice")
    seen = [view["secret_version"]]
    for number in range(3):
        rotated = await alice.put_credential(view["id"], token=f"{NEW}-{number}")
        seen.append(rotated["draft"]["secret_version"])
        await alice.discard(view["id"])
    assert seen == sorted(set(seen))


async def test_a_new_secret_is_asked_for_and_nothing_else(plane: ControlPlane, host: str) -> None:
    """Wrong fields are named."""
    view = await approved_connection(plane, host, username="robot", token=OLD)
    alice = plane.client("alice")
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "/token"),
        ({"token": 1}, "/token"),
        ({"token": NEW, "fleets": ["a"]}, "/fleets"),
        ({"token": NEW, "nonsense": 1}, "/nonsense"),
        ({"token": NEW, "approve": "yes"}, "/approve"),
    )
    for fields, pointer in wrong:
        problem = await alice.put_credential(view["id"], expect=422, **fields)
        assert [error["pointer"] for error in problem["errors"]] == [pointer]
        assert NEW not in str(problem)
    assert await alice.show(view["id"]) == view
