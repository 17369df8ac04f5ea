"""Connecting, approving and revoking through the API."""

import asyncio
import uuid

import orjson
import pytest

from tests.support.commands import run_command
from tests.support.control_plane import ControlPlane, Operator, approved_connection
from tests.system.control_plane.conftest import StartPlane

CANARY = "canary-connection-token"


async def test_a_new_connection_is_pending_and_shows_no_secret(
    plane: ControlPlane, host: str
) -> None:
    """Nothing serves before somebody approved it, and the token is never seen again."""
    view = await plane.client("alice").connect(host, username="robot", token=CANARY)
    assert view["status"] == "pending"
    assert (view["host"], view["username"], view["anonymous"]) == (host, "robot", False)
    assert (view["connected_by"], view["approved_by"]) == ("alice", None)
    shown = await plane.client("eve").call("GET", f"/v1/connections/{view['id']}")
    assert CANARY.encode() not in shown.body
    assert shown.json == view


async def test_what_was_seen_is_what_is_approved(plane: ControlPlane, host: str) -> None:
    """A fingerprint that is not the draft's approves nothing."""
    view = await plane.client("alice").connect(host)
    bob = plane.client("bob")
    await bob.approve(view["id"], f"sha256:{'0' * 64}", expect=409)
    assert (await bob.show(view["id"]))["status"] == "pending"
    approved = await bob.approve(view)
    assert (approved["status"], approved["approved_by"]) == ("approved", "bob")
    assert approved["fingerprint"] == view["fingerprint"]
    assert approved["generation"] > 1_700_000_000_000
    await bob.approve(view["id"], f"sha256:{'0' * 64}", expect=409)


async def test_an_approval_may_end_by_itself(plane: ControlPlane, host: str) -> None:
    """Trust can be given for a time."""
    view = await plane.client("alice").connect(host)
    bob = plane.client("bob")
    await bob.approve(view, expires_at="2020-01-01T00:00:00Z", expect=422)
    approved = await bob.approve(view, expires_at="2999-01-01T02:00:00+02:00")
    assert approved["expires_at"] == "2999-01-01T00:00:00.000Z"


async def test_a_revocation_is_final_and_frees_the_place(plane: ControlPlane, host: str) -> None:
    """Revoked is revoked; the host can be connected anew."""
    view = await approved_connection(plane, host, username="robot", token=CANARY)
    bob = plane.client("bob")
    await plane.client("alice").connect(host, expect=409)
    revoked = await bob.revoke(view["id"], reason="moved")
    assert (revoked["status"], revoked["revoked_by"]) == ("revoked", "bob")
    assert (revoked["host"], revoked["username"]) == (host, "robot")
    assert revoked["generation"] > view["generation"]
    assert revoked["problem"] is None
    await bob.revoke(view["id"], expect=409)
    await bob.approve(view, expect=409)
    again = await plane.client("alice").connect(host)
    assert again["id"] != view["id"]


async def test_a_pending_connection_can_be_revoked(plane: ControlPlane, host: str) -> None:
    """A mistake need not be approved first to be rid of it."""
    view = await plane.client("alice").connect(host)
    revoked = await plane.client("bob").revoke(view["id"])
    assert (revoked["status"], revoked["problem"]) == ("revoked", None)


async def test_connections_of_one_host_differ_by_prefix(plane: ControlPlane, host: str) -> None:
    """Several credentials for one registry, each for its part."""
    alice = plane.client("alice")
    first = await alice.connect(host, repository_prefix="team")
    second = await alice.connect(host, repository_prefix="team/private")
    whole = await alice.connect(host, repository_prefix="")
    assert [first["repository_prefix"], second["repository_prefix"]] == ["team", "team/private"]
    assert whole["repository_prefix"] == ""
    await alice.connect(host, repository_prefix="team", expect=409)


async def test_two_at_once_take_a_place_once(plane: ControlPlane, host: str) -> None:
    """The unique place holds in a race, and the loser is told so."""
    calls = (
        plane.client("alice").call(
            "POST", "/v1/connections?check=false", {"host": host, "provider": "static"}
        )
        for _ in range(8)
    )
    statuses = sorted(answer.status for answer in await asyncio.gather(*calls))
    assert statuses == [201] + [409] * 7


async def test_everything_an_approver_must_know_is_in_the_view(
    plane: ControlPlane, host: str
) -> None:
    """Scopes and network flags are part of what is approved."""
    view = await plane.client("alice").connect(
        host,
        repositories=["team/*", "models/**"],
        fleets=["line-a"],
        plain_http=True,
        allowed_networks=["10.0.0.0/8"],
        auth_realms=["https://auth.example/token"],
        description="the press hall",
    )
    assert view["repositories"] == ["team/*", "models/**"]
    assert view["fleets"] == ["line-a"]
    assert view["plain_http"] is True
    assert view["allowed_networks"] == ["10.0.0.0/8"]
    assert view["auth_realms"] == ["https://auth.example/token"]
    assert view["description"] == "the press hall"


async def test_a_host_is_stored_in_its_one_form(plane: ControlPlane) -> None:
    """However people write Docker Hub, devices ask for docker.io, and it is one place."""
    alice, prefix = plane.client("alice"), uuid.uuid4().hex
    view = await alice.connect("https://index.docker.io/v1/", repository_prefix=prefix)
    assert view["host"] == "docker.io"
    for typed in ("registry-1.docker.io", "docker.io", "DOCKER.IO"):
        await alice.connect(typed, repository_prefix=prefix, expect=409)


async def test_lists_come_in_pages(own_plane: ControlPlane) -> None:
    """Every connection is on exactly one page."""
    alice = own_plane.client("alice")
    made = [(await alice.connect(f"registry-{number}.example"))["id"] for number in range(5)]
    seen, path = [], "/v1/connections?limit=2"
    while True:
        page = (await alice.call("GET", path)).json
        assert len(page["items"]) <= 2
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        path = f"/v1/connections?limit=2&cursor={page['next_cursor']}"
    assert seen == made


@pytest.mark.parametrize(
    "path",
    [f"/v1/connections/{uuid.UUID(int=4)}", "/v1/connections/x", "/v1/nothing", "/", "//", "/v1/"],
)
async def test_what_is_not_there_is_a_problem(plane: ControlPlane, path: str) -> None:
    """A 404 is a problem too, with a request id."""
    answer = await plane.client("eve").call("GET", path)
    assert (answer.status, answer.json["status"]) == (404, 404)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"] == answer.json["request_id"]


async def test_nobody_approves_what_they_made_where_a_second_is_required(
    start_plane: StartPlane, host: str
) -> None:
    """Four eyes, if the deployer wants them."""
    own_plane = await start_plane({"CONTROL_PLANE_REQUIRE_SECOND_APPROVER": "true"})
    root, bob = own_plane.client("root"), own_plane.client("bob")
    view = await root.connect(host)
    problem = await root.approve(view, expect=409)
    assert problem["conflict"]["id"] == view["id"]
    assert "root made it" in problem["detail"]
    assert (await bob.approve(view))["approved_by"] == "bob"


ADA = "oidc:https%3A%2F%2Flogin.example%2Ffirm:248289761001"
BEN = "oidc:https%3A%2F%2Flogin.example%2Ffirm:ben%40login.example"


async def test_one_human_with_two_identities_is_no_second_approver(
    start_plane: StartPlane, host: str
) -> None:
    """A token may be tied to a person; of one that is not, nobody knows whose it is."""
    own_plane = await start_plane(
        {"CONTROL_PLANE_REQUIRE_SECOND_APPROVER": "true", "CONTROL_PLANE_STATEMENT_LEVEL": "2"}
    )

    def added(name: str, person: str) -> Operator:
        settings = own_plane.shell_settings() | {"CONTROL_PLANE_STATEMENT_LEVEL": "2"}
        arguments = ("operators", "add", name, "--role", "approver", "--person", person)
        ran = run_command(settings, *arguments)
        assert ran.status == 0, ran.words
        return own_plane.client(None, token=ran.output.strip())

    ada, ada_again, ben = added("ada", ADA), added("ada-2", ADA), added("ben", BEN)
    bob = own_plane.client("bob")
    view = await ada.connect(host)
    assert "one person's" in (await ada_again.approve(view, expect=409))["detail"]
    assert "your token is tied to none" in (await bob.approve(view, expect=409))["detail"]
    assert (await ben.approve(view))["approved_by"] == "ben"
    assert "one person's" in (await ada_again.approve(view, expect=409))["detail"], "a renewal too"
    entries = [entry for entry in await bob.audit() if "maker_person" in entry["details"]]
    assert [entry["action"] for entry in entries] == ["connection.connect", "connection.approve"]
    assert {entry["details"]["maker_person"] for entry in entries} == {ADA}
    of_bob = await bob.edit(view["id"], repositories=["team/app"])
    refused = await ben.approve(of_bob, expect=409)
    assert "it might be your own" in refused["detail"]
    listed = orjson.loads(own_plane.run("operators", "list", "--json"))
    assert {each["name"]: each["person"] for each in listed if each["person"]} == {
        "ada": ADA,
        "ada-2": ADA,
        "ben": BEN,
    }


def test_a_person_needs_a_level_that_every_program_reads(plane: ControlPlane) -> None:
    """A control plane of the version before would refuse the whole operator."""
    arguments = ("operators", "add", "late", "--role", "viewer", "--person", ADA)
    ran = run_command(plane.shell_settings(), *arguments)
    assert ran.status == 1
    assert "CONTROL_PLANE_STATEMENT_LEVEL=2" in ran.words
    malformed = (*arguments[:-1], "oidc:https://login.example:1")
    assert run_command(plane.shell_settings(), *malformed).status == 2
