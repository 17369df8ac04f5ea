"""A 409 names what is in the way, and the way on: in the answer, and from a shell."""

import pytest

from tests.support.control_plane import ControlPlane, Json, approved_connection
from tests.support.database import Database
from tests.support.shell import shell
from tests.system.control_plane.test_openapi import require_documented

ROLE = "arn:aws:iam::409409409409:role/pull"
ECR_HOST = "409409409409.dkr.ecr.eu-central-1.amazonaws.com"


def conflict_of(view: Json) -> Json:
    """Return what a problem says of the connection that is in the way."""
    return {name: view[name] for name in ("id", "host", "repository_prefix", "status")}


@pytest.mark.parametrize("prefix", ["", "team/app"])
async def test_a_taken_place_names_who_has_it(plane: ControlPlane, host: str, prefix: str) -> None:
    """Whether it waits or serves, and whatever the host was typed as."""
    alice = plane.client("alice")
    view = await alice.connect(host, repository_prefix=prefix)
    for status in ("pending", "approved"):
        body = {"host": f"https://{host}/", "provider": "static", "repository_prefix": prefix}
        answer = await alice.call("POST", "/v1/connections?check=false", body)
        require_documented("POST", "/v1/connections", answer)
        problem = answer.json
        assert (problem["status"], problem["conflict"]) == (409, conflict_of(view))
        assert view["id"] in problem["detail"]
        assert status in problem["detail"]
        end = "discard its draft" if status == "pending" else "revoke it"
        assert f"or {end} and connect again" in problem["detail"]
        prefixed = ("--prefix", prefix) if prefix else ()
        refused = await shell(plane, "connections", "add", host, *prefixed, "--anonymous")
        assert refused.status == 1
        assert view["id"] in refused.words
        assert "/".join(part for part in (host, prefix) if part) in refused.words
        if status == "pending":
            view = await plane.client("bob").approve(view)


async def test_every_conflict_names_the_connection(plane: ControlPlane, host: str) -> None:
    """With the person and the time where somebody did something meanwhile."""
    alice, bob = plane.client("alice"), plane.client("bob")
    view = await alice.connect(host, username="robot", token="x")
    problem = await bob.approve(view, f"sha256:{'0' * 64}", expect=409)
    require_conflict(problem, view, "alice made it", "look at it")
    view = await bob.approve(view)
    problem = await bob.approve(view, f"sha256:{'0' * 64}", expect=409)
    require_conflict(problem, view, "nothing waits", "alice made it", "look at it")
    await alice.edit(view["id"], fleets=["a"])
    problem = await bob.put_credential(view["id"], token="y", approve=True, expect=409)
    require_conflict(problem, view, "a draft waits beside it of alice", "approve or discard")
    revoked = await bob.revoke(view["id"])
    for call in (
        bob.edit(view["id"], fleets=["b"], expect=409),
        bob.put_credential(view["id"], token="y", expect=409),
        bob.approve(view, expect=409),
        bob.revoke(view["id"], expect=409),
        bob.grant(view["id"], expect=409),
    ):
        require_conflict(await call, revoked, "bob revoked it", "make a new one")
    discarded = await alice.connect(host)
    await alice.discard(discarded["id"])
    problem = await alice.edit(discarded["id"], fleets=["b"], expect=409)
    require_conflict(problem, await alice.show(discarded["id"]), "discarded", "make a new one")


async def test_a_role_has_no_secret_to_put(plane: ControlPlane) -> None:
    """It says what else changes it."""
    alice = plane.client("alice")
    view = await alice.connect(ECR_HOST, provider="aws_ecr", role_arn=ROLE)
    problem = await alice.put_credential(view["id"], token="x", expect=409)
    require_conflict(problem, view, "no stored secret", "PATCH")


async def test_what_is_not_believed_says_how_it_is_mended(
    own_plane: ControlPlane, database: Database
) -> None:
    """A connection and a device's revocation that were changed behind the control plane."""
    bob = own_plane.client("bob")
    view = await approved_connection(own_plane, "registry.example")
    database.sql("UPDATE connections SET repository_prefix = 'other'")
    problem = await bob.edit(view["id"], fleets=["a"], expect=409)
    require_conflict(problem, view, "changed in the database", "connect the registry again")
    revocation = await bob.revoke_device(device="press-7")
    database.sql(
        "UPDATE statements SET generation = 1, payload = '{}' WHERE subject LIKE 'device/%'"
    )
    answer = await bob.call("DELETE", f"/v1/device-revocations/{revocation['id']}")
    require_documented("DELETE", "/v1/device-revocations/{id}", answer)
    assert answer.json["conflict"] == {
        name: revocation[name] for name in ("id", "device", "serial", "issuer")
    }
    assert "revoke it again" in answer.json["detail"]
    lifted = await shell(own_plane, "devices", "lift", revocation["id"], operator="bob")
    assert (lifted.status, "press-7" in lifted.words) == (1, True)


def require_conflict(problem: Json, view: Json, *words: str) -> None:
    """Fail unless a problem names the connection, and says these words."""
    assert problem["status"] == 409
    assert problem["conflict"] == conflict_of(view)
    for each in words:
        assert each in problem["detail"]
