"""An approval is renewed, and its end changed, by approving what serves; no end is dropped."""

from datetime import UTC, datetime, timedelta

from tests.support.control_plane import (
    ControlPlane,
    approved_connection,
    approved_until_it_expired,
    served,
)
from tests.support.shell import shell

SOON, LATER = "2998-01-01T00:00:00.000Z", "2999-01-01T00:00:00.000Z"


async def test_what_serves_is_approved_once_more(own_plane: ControlPlane) -> None:
    """The same document and secret under a newer statement, in the log, until another time."""
    bob = own_plane.client("bob")
    view = await approved_connection(own_plane, "registry.example", username="robot", token="x")
    before = await served(own_plane, view["id"])
    renewed = await own_plane.client("root").approve(view, expires_at=SOON)
    after = await served(own_plane, view["id"])
    assert (after.document, after.sealed_secret) == (before.document, before.sealed_secret)
    assert after.generation > before.generation
    assert (renewed["approved_by"], renewed["expires_at"]) == ("root", SOON)
    assert renewed["fingerprint"] == view["fingerprint"]
    for end in (LATER, None):
        assert (await bob.approve(view, expires_at=end))["expires_at"] == end
    assert (await bob.approve(view))["problem"] is None  # there is no end to be dropped
    entry = (await bob.audit())[-1]
    assert (entry["action"], entry["actor"]) == ("connection.approve", "bob")
    assert entry["details"]["fingerprint"] == view["fingerprint"]
    edited = await own_plane.client("alice").edit(view["id"], fleets=["a"])
    assert (await bob.approve(edited))["fleets"] == ["a"]
    own_plane.run("audit", "verify")


async def test_an_approval_that_has_expired_is_renewed(plane: ControlPlane, host: str) -> None:
    """Without an edit that changes nothing."""
    bob = plane.client("bob")
    view = await approved_connection(plane, host)
    assert view["serves"]
    await approved_until_it_expired(plane, view)
    assert not (await bob.show(view["id"]))["serves"]
    shown = await shell(plane, "connections", "show", host)
    assert shown.output.startswith(f"{host} does not serve: the approval has expired; approved by")
    listed = await shell(plane, "connections", "list")
    (line,) = (line for line in listed.output.splitlines() if host in line)
    assert "not served" in line
    assert (await bob.approve(view, expires_at=LATER))["problem"] is None


async def test_a_later_approval_says_when_it_ends(plane: ControlPlane, host: str) -> None:
    """Of a draft, and of what serves; a time or never, but not by saying nothing."""
    alice, bob = plane.client("alice"), plane.client("bob")
    view = await bob.approve(await alice.connect(host), expires_at=SOON)
    problem = await bob.approve(view, expect=422)
    assert [error["pointer"] for error in problem["errors"]] == ["/expires_at"]
    assert SOON in problem["errors"][0]["detail"]
    edited = await alice.edit(view["id"], fleets=["a"])
    await bob.approve(edited, expect=422)
    assert (await bob.show(view["id"]))["expires_at"] == SOON
    assert (await bob.approve(edited, expires_at=LATER))["expires_at"] == LATER
    edited = await alice.edit(view["id"], fleets=["b"])
    assert (await bob.approve(edited, expires_at=None))["expires_at"] is None


async def test_nobody_renews_what_they_made_where_a_second_is_required(
    own_plane: ControlPlane,
) -> None:
    """The rule of a first approval."""
    view = await approved_connection(own_plane, "registry.example")
    made_by_bob = await own_plane.client("bob").connect("other.example")
    made_by_bob = await own_plane.client("root").approve(made_by_bob)
    own_plane.environment["CONTROL_PLANE_REQUIRE_SECOND_APPROVER"] = "true"
    await own_plane.restart()
    bob = own_plane.client("bob")
    await bob.approve(view)
    assert "another approver" in (await bob.approve(made_by_bob, expect=409))["detail"]


async def test_an_end_is_said_from_a_shell(plane: ControlPlane, host: str) -> None:
    """As a time, a duration, never, or as it was; one of them."""
    view = await plane.client("alice").connect(host)
    approve = ("connections", "approve", host, "--fingerprint", view["fingerprint"])

    async def end(*arguments: str) -> str | None:
        done = await shell(plane, *approve, *arguments, "--json", operator="bob")
        assert done.status == 0, done
        expires_at = done.result["expires_at"]
        assert expires_at is None or isinstance(expires_at, str)
        return expires_at

    assert await end() is None
    assert await end("--expires-at", "2999-01-01T01:00:00+01:00") == LATER
    assert await end("--keep-expiry") == LATER
    unsaid = await shell(plane, *approve, operator="bob")
    assert (unsaid.status, "/expires_at" in unsaid.words) == (1, True)
    in_a_day = await end("--expires", "1d")
    assert in_a_day is not None
    left = datetime.fromisoformat(in_a_day) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(days=1)
    assert await end("--no-expiry") is None
    both = await shell(plane, *approve, "--no-expiry", "--expires", "1d", operator="bob")
    assert (both.status, "--expires, --no-expiry" in both.words) == (2, True)
