"""What an approver reads, and what a command says when it is done: what is now, what comes next."""

from pathlib import Path

import pytest

from deploy.dev.device_ca import CertificateAuthority
from tests.support.control_plane import ControlPlane, Json, approved_connection
from tests.support.shell import shell
from tests.support.terminal import at_terminal

CANARY = "canary-token"


@pytest.fixture
def ca_certificate(tmp_path: Path) -> str:
    """A company's authority, as PEM."""
    return CertificateAuthority.load_or_create(tmp_path / "ca", "Company CA").pem.decode()


async def drafted(plane: ControlPlane, host: str, **fields: object) -> Json:
    """Return the view of an approved connection beside which a draft of its scope waits."""
    view = await approved_connection(
        plane, host, username="robot", token=CANARY, fleets=["a", "b"], **fields
    )
    return await plane.client("alice").edit(view["id"], fleets=["b", "c"], repositories=["team/*"])


async def test_a_draft_is_read_against_what_serves(
    plane: ControlPlane, host: str, ca_certificate: str
) -> None:
    """Fields in groups, one value a line; marked is what differs. No JSON, and no PEM in a cell."""
    view = await drafted(plane, host, ca_certificate=ca_certificate, description="hall 3")
    shown = await shell(plane, "connections", "show", host, operator="eve")
    before, draft = shown.output.split("Draft of", 1)
    marked = [line.split() for line in draft.splitlines() if line[:3] in ("  -", "  +")][1:]
    assert marked == [
        ["-", "repositories", "all"],
        ["+", "team/*"],
        ["-", "fleets", "a"],
        ["+", "c"],
    ]
    kept = [line.split() for line in draft.splitlines()]
    assert ["as", "robot"] in kept
    assert ["b"] in kept
    assert ["login", "not", "tried:", "it", "was", "not", "asked"] in kept
    assert view["check"]["problem"] not in shown.output
    assert view["draft"]["fingerprint"] in draft
    assert "alice made it" in draft
    for title in ("Connection", "Login", "Network", "Scope", "Check"):
        assert title in before.splitlines()
    assert "hall 3" in before
    assert shown.output.count("CN=Company CA, until 20") == 2
    for no_reader in ("BEGIN", "{", "null", "[]", CANARY):
        assert no_reader not in shown.output
    assert f"approve {host} --fingerprint {view['draft']['fingerprint']}" in shown.words


async def test_an_approver_is_shown_a_draft_and_asked(plane: ControlPlane, host: str) -> None:
    """At a terminal the fingerprint is that of what was on the screen; no is no."""
    view = await drafted(plane, host)
    settings = plane.shell_settings("bob")
    refused = at_terminal(settings, "connections", "approve", host, answers={"Approve this?": "n"})
    assert (refused.status, "nothing was approved" in refused.screen) == (1, True)
    assert "- Fleets" in refused.screen
    assert (await plane.client("eve").show(view["id"]))["draft"] is not None
    approved = at_terminal(settings, "connections", "approve", host, answers={"Approve this?": "y"})
    assert approved.status == 0, approved.screen
    assert view["draft"]["fingerprint"] in approved.screen
    assert (await plane.client("eve").show(view["id"]))["fleets"] == ["b", "c"]
    renewed = at_terminal(
        settings, "connections", "approve", host, "--expires", "9d", answers={"once more?": "y"}
    )
    assert "Approve what serves once more?" in renewed.screen
    asks_for_end = at_terminal(settings, "connections", "approve", host)
    assert (asks_for_end.status, "--keep-expiry" in asks_for_end.screen) == (2, True)


async def test_an_act_says_what_is_now_and_what_comes_next(plane: ControlPlane, host: str) -> None:
    """In a sentence, with the command to type."""

    async def done(
        operator: str, command: str, *arguments: str, given: str = ""
    ) -> tuple[str, str]:
        ran = await shell(
            plane, "connections", command, host, *arguments, operator=operator, given=given
        )
        assert ran.status == 0, ran
        assert len(ran.output.splitlines()) == 1
        return ran.output, ran.words

    output, words = await done(
        "alice", "add", "--username", "robot", "--token-stdin", "--no-check", given=CANARY
    )
    assert "waits for an approver; alice made it" in output
    view = (await shell(plane, "connections", "show", host, "--json")).result
    approve = f"control-plane connections approve {host} --fingerprint {view['fingerprint']}"
    assert approve in words
    assert f"discard {host}" in words
    output, words = await done("bob", "approve", "--fingerprint", view["fingerprint"])
    assert "serves; approved by bob" in output
    assert f"facade check {host}" in words
    assert view["sealing_key_id"] in (await shell(plane, "connections", "show", host)).output
    output, words = await done("alice", "edit", "--fleet", "a")
    assert "a draft of alice waits" in output
    assert f"approve {host} --fingerprint" in words
    output, words = await done("alice", "discard")
    assert "without an end\n" in output
    output, words = await done(
        "bob", "rotate", "--token-stdin", "--no-check", "--approve", given=CANARY
    )
    assert "serves; approved by bob" in output
    output, words = await done("bob", "revoke", "--reason", "moved")
    assert "is revoked, for ever; by bob" in output
    assert f"control-plane connections add {host}" in words
    await done("alice", "add", "--anonymous", "--no-check")
    view = (await shell(plane, "connections", "show", host, "--json")).result
    other = ("approve", host, "--fingerprint", f"sha256:{'0' * 64}")
    refused = await shell(plane, "connections", *other, operator="bob")
    assert f"alice made it at {view['connected_at']}" in refused.words  # as `show` has it
    output, words = await done("alice", "discard")
    assert "was never approved, and its draft is discarded; by alice" in output
    assert "for ever" not in output


async def test_what_to_grant_comes_next_where_there_is_something(plane: ControlPlane) -> None:
    """A role that nobody made yet pulls nothing."""
    host = "313131313131.dkr.ecr.eu-central-1.amazonaws.com"
    role = ("--role-arn", "arn:aws:iam::313131313131:role/pull")
    added = await shell(plane, "connections", "add", host, *role)
    assert f"control-plane connections grant {host}" in added.words
    shown = await shell(plane, "connections", "show", host)
    assert "arn:aws:iam::313131313131:role/pull" in shown.output
    granted = await shell(plane, "connections", "grant", host)
    assert set("─━│┃┏┓┗┛").isdisjoint(granted.output)
    assert "sts:AssumeRole" in granted.output


async def test_devices_and_operators_are_told_of_in_the_same_way(own_plane: ControlPlane) -> None:
    """What is now, and what undoes it or comes next."""
    revoked = await shell(own_plane, "devices", "revoke", "press-7", operator="bob")
    assert "press-7 is served no longer" in revoked.output
    assert "control-plane devices lift press-7" in revoked.words
    lifted = await shell(own_plane, "devices", "lift", "press-7", operator="bob")
    assert "press-7 is served again" in lifted.output
    by_serial = await shell(own_plane, "devices", "revoke", "--serial", "0A:BC", operator="bob")
    assert "serial:abc is served no longer" in by_serial.output
    assert "control-plane devices lift serial:abc" in by_serial.words
    added = await shell(
        own_plane, "operators", "add", "carol", "--role", "viewer", "--expires", "1d", operator=None
    )
    assert added.output.startswith("rfo_carol.")
    assert "carol may call as viewer until 20" in added.words
    assert "CONTROL_PLANE_TOKEN" in added.words
    rotated = await shell(own_plane, "operators", "rotate", "carol", operator=None)
    assert "the token before it lets nobody in" in rotated.words
    removed = await shell(own_plane, "operators", "remove", "carol", operator=None)
    assert "carol may call no longer" in removed.words
