"""What an approver is asked: the review of a draft, by the API and in a shell."""

import asyncio
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from mnemonic import Mnemonic

from control_plane.clock import now
from control_plane.connections.acts import ApprovalEnd, Connections
from control_plane.connections.reader import ConnectionReader
from control_plane.connections.request import ConnectionRequest
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.operators.permissions import Role
from control_plane.proof.acts import Acts
from control_plane.proof.history import History
from control_plane.review.reviews import ConnectionReviews
from control_plane.review.view import review_view
from deploy.dev.device_ca import CertificateAuthority
from shared.connection import Anonymous
from shared.registry_host import RegistryHost
from tests.support.control_plane import ControlPlane, Json, approved_connection
from tests.support.counted_acts import scene_at
from tests.support.database import Database
from tests.support.days_ahead import day_ahead, noon_of
from tests.support.postgres_trips import Trips
from tests.support.shell import shell
from tests.support.signed_installation import ALICE, BOB, CHECK
from tests.support.terminal import at_terminal
from tests.system.control_plane.conftest import StartPlane

CANARY = "canary-of-a-review"


async def review(
    plane: ControlPlane, connection: Json, who: str = "bob", *, expect: int = 200
) -> Json:
    """Return the review that somebody is shown, and look for the secret in it."""
    answer = await plane.client(who).call("GET", f"/v1/connections/{connection['id']}/review")
    assert answer.status == expect, answer.body
    assert CANARY.encode() not in answer.body
    return dict(answer.json)


def changed(shown: Json) -> dict[str, tuple[str, list[str] | None, list[str] | None]]:
    """Return the lines that change, but for who made it and when."""
    return {
        line["name"]: (line["change"], line["before"], line["after"])
        for line in shown["lines"]
        if line["change"] != "same" and line["name"] not in {"connected_by", "connected_at"}
    }


async def test_a_first_draft_is_all_new(plane: ControlPlane, host: str) -> None:
    """With the fingerprint that approving names, and its words."""
    view = await plane.client("alice").connect(host, username="robot", token=CANARY)
    shown = await review(plane, view)
    assert (shown["is_draft"], shown["approved"], shown["refusal"]) == (True, None, None)
    assert {line["change"] for line in shown["lines"]} == {"new"}
    assert shown["fingerprint"] == view["fingerprint"]
    digest = bytes.fromhex(view["fingerprint"].removeprefix("sha256:"))
    assert bytes(Mnemonic("english").to_entropy(shown["fingerprint_words"])) == digest[:16]
    kinds = {each["kind"]: each["is_new"] for each in shown["highlights"]}
    assert kinds == {"all_repositories": True, "all_fleets": True}
    await plane.client("bob").approve(view)


async def test_a_draft_is_compared_with_what_serves(plane: ControlPlane, host: str) -> None:
    """What nobody changed is the same, and a secret is only ever replaced."""
    view = await approved_connection(plane, host, username="robot", token=CANARY, fleets=["a"])
    alice = plane.client("alice")
    edit: Json = {"fleets": ["a", "b"], "plain_http": True, "set_name": "edge"}
    await alice.edit(view["id"], token=CANARY + "2", secret_label="2026-11", **edit)
    shown = await review(plane, view)
    assert changed(shown) == {
        "fleets": ("changed", ["a"], ["a", "b"]),
        "plain_http": ("changed", ["TLS"], ["none: plain HTTP"]),
        "secret": ("changed", ["version 1"], ["replaced (version 2)"]),
        "secret_label": ("new", None, ["2026-11"]),
        "set_name": ("new", None, ["edge"]),
    }
    assert shown["changed_terms"] == 5
    assert shown["approved"]["fingerprint"] == view["fingerprint"]
    assert [each["kind"] for each in shown["highlights"] if each["is_new"]] == [
        "plain_http",
        "secret_replaced",
    ]
    await plane.client("bob").approve(view["id"], shown["fingerprint"])


async def test_without_a_draft_it_is_what_serves_once_more(plane: ControlPlane, host: str) -> None:
    """A renewal changes nothing, and says so."""
    view = await approved_connection(plane, host)
    shown = await review(plane, view)
    assert (shown["is_draft"], shown["changed_terms"], changed(shown)) == (False, 0, {})
    assert shown["fingerprint"] == shown["approved"]["fingerprint"]


async def test_it_says_why_the_caller_may_not_approve(start_plane: StartPlane, host: str) -> None:
    """By the rules that approving itself has: the role, and a second approver."""
    plane = await start_plane({"CONTROL_PLANE_REQUIRE_SECOND_APPROVER": "true"})
    view = await plane.client("bob").connect(host)
    by_bob, by_eve, by_root = [await review(plane, view, who) for who in ("bob", "eve", "root")]
    assert by_bob["second_approver"]
    assert "nobody approves a draft of their own (bob made it" in by_bob["refusal"]
    assert "needs the role approver" in by_eve["refusal"]
    assert by_root["refusal"] is None
    refused = await plane.client("bob").approve(view, expect=409)
    assert refused["detail"] == by_bob["refusal"]
    await plane.client("root").approve(view)


async def test_what_is_revoked_has_no_review(plane: ControlPlane, host: str) -> None:
    """Nothing of it can be approved any more."""
    view = await approved_connection(plane, host)
    await plane.client("bob").revoke(view["id"])
    refused = await review(plane, view, expect=409)
    assert "is revoked, for ever" in refused["detail"]
    assert refused["conflict"]["status"] == "revoked"


def unreadable_name() -> str:
    """Return the PEM of a certificate whose name is not in the encoding that it says."""
    made = CertificateAuthority.create("CAFE-LATTE").certificate
    der = made.public_bytes(Encoding.DER)
    return (
        x509.load_der_x509_certificate(der.replace(b"CAFE-LATTE", b"\xff\xfe\xff\xfeLATTE "))
        .public_bytes(Encoding.PEM)
        .decode()
    )


async def test_an_unreadable_certificate_is_shown_as_one(plane: ControlPlane, host: str) -> None:
    """Who connects cannot keep the approver from seeing what waits."""
    view = await plane.client("alice").connect(host, ca_certificate=unreadable_name())
    shown = await review(plane, view)
    (line,) = [each for each in shown["lines"] if each["name"] == "ca_certificate"]
    assert "name cannot be read, until 20" in line["after"][0]


async def test_a_shell_shows_the_same_review(plane: ControlPlane, host: str) -> None:
    """In a pipe one below the other, where it is wide side by side; and the line to type next."""
    view = await approved_connection(plane, host, username="robot", token=CANARY, fleets=["a"])
    await plane.client("alice").edit(view["id"], fleets=["b"], plain_http=True, token=CANARY)
    shown = await review(plane, view)
    command = ("connections", "review", host)
    narrow = await shell(plane, *command, operator="bob")
    wide = await shell(plane, *command, operator="bob", settings={"COLUMNS": "140"})
    lines = [line.split() for line in narrow.output.splitlines()]
    assert ["-", "Fleets", "a"] in lines
    assert ["+", "b"] in lines
    assert ["~", "Fleets", "a", "b"] in [line.split() for line in wide.output.splitlines()]
    for ran in (narrow, wide):
        assert ran.status == 0, ran.words
        assert "DANGER   No TLS: everybody between a facade and the registry" in ran.output
        assert "\x1b" not in ran.output
        assert CANARY not in ran.output
        assert " ".join(shown["fingerprint_words"][:6]) in ran.output
        assert f"approve {host} --fingerprint {shown['fingerprint']}\n" in ran.words
    assert (await shell(plane, *command, "--json", operator="bob")).result == shown
    eve = await shell(plane, *command, operator="eve")
    assert "You cannot approve it: this needs the role approver" in eve.words


async def test_a_terminal_has_colours_unless_somebody_wants_none(
    plane: ControlPlane, host: str
) -> None:
    """https://no-color.org; and a text that somebody stored steers no terminal."""
    hostile = CertificateAuthority.create("\x1b[5m\u202e[bold]CA[/]").pem.decode()
    view = await plane.client("alice").connect(host, ca_certificate=hostile)
    settings = plane.shell_settings("bob") | {"TERM": "xterm"}
    command = ("connections", "review", view["id"])
    coloured = await asyncio.to_thread(at_terminal, settings, *command)
    plain = await asyncio.to_thread(at_terminal, settings | {"NO_COLOR": "1"}, *command)
    assert (coloured.status, plain.status) == (0, 0)
    assert "\x1b[33mcaution\x1b[0m" in coloured.screen
    assert "\x1b[33m" not in plain.screen
    for ran in (coloured, plain):
        assert "CN=\\x1b[5m\\u202e[bold]CA[/] is believed" in ran.screen
        assert view["fingerprint"] in ran.screen


async def test_the_end_of_the_present_approval_is_kept_unless_said(
    plane: ControlPlane, host: str
) -> None:
    """The line can be typed as it stands."""
    view = await plane.client("alice").connect(host)
    day = day_ahead(4)
    await plane.client("bob").approve(view, expires_at=noon_of(day))
    await plane.client("alice").edit(view["id"], fleets=["a"])
    ran = await shell(plane, "connections", "review", host, operator="bob")
    (line,) = [each.split() for each in ran.words.splitlines() if " --fingerprint " in each]
    approved = await shell(plane, *line[1:], operator="bob")
    assert approved.status == 0, approved.words
    assert f"until {day}" in approved.output


async def test_a_draft_that_was_sent_back_says_so(plane: ControlPlane, host: str) -> None:
    """Whoever approves it all the same knows of it."""
    view = await plane.client("alice").connect(host)
    path = f"/v1/connections/{view['id']}/send-back"
    await plane.client("bob").call("POST", path, {"comment": "which line is it for?"})
    shown = await review(plane, view)
    assert (shown["sent_back"]["by"], shown["refusal"]) == ("bob", None)
    ran = await shell(plane, "connections", "review", host, operator="bob")
    assert "which line is it for?" in ran.output
    (line,) = [each.split() for each in ran.words.splitlines() if " --fingerprint " in each]
    approved = await shell(plane, *line[1:], operator="bob")
    assert approved.status == 0, approved.words


async def test_drafts_that_wait_come_in_pages_the_oldest_first(database: Database) -> None:
    """None is left out, and none comes twice; what is approved waits no longer."""
    async with scene_at(database, database.server.port, Trips()) as scene:
        acts, reader = Acts(scene.chain), ConnectionReader(scene.chain, History(scene.chain))
        connections = Connections(
            acts, reader, scene.installation.sealer, now, second_approver=False
        )
        reviews = ConnectionReviews(reader, now, None, second_approver=False)
        made = []
        for number in range(4):
            host = RegistryHost.parse(f"registry-{number}.example")
            request = ConnectionRequest(host, Anonymous())
            made.append(await connections.connect(request, CHECK, actor=ALICE))
        approved = UUID(str(made[1]["id"])), str(made[1]["fingerprint"])
        await connections.approve(*approved, end=ApprovalEnd(), actor=BOB)
        first = await reviews.queue(after=None, limit=2, asked_by=BOB)
        rest = await reviews.queue(after=first.next_place, limit=2, asked_by=BOB)
    waiting = [str(each.state.id) for each in (*first.reviews, *rest.reviews)]
    assert waiting == [each["id"] for each in (made[0], made[2], made[3])]
    assert (len(first.reviews), rest.next_place) == (2, None)


async def test_a_person_of_single_sign_on_is_called_by_their_name(database: Database) -> None:
    """Beside the identity, which is what is signed and approved."""
    maker = AuthenticatedOperator(
        "oidc:a:1", Role.CONNECTOR, person="oidc:a:1", display_name="Alice"
    )
    approver = AuthenticatedOperator(
        "oidc:a:2", Role.APPROVER, person="oidc:a:2", display_name="Bob"
    )
    async with scene_at(database, database.server.port, Trips()) as scene:
        acts, reader = Acts(scene.chain), ConnectionReader(scene.chain, History(scene.chain))
        connections = Connections(
            acts, reader, scene.installation.sealer, now, second_approver=True
        )
        reviews = ConnectionReviews(reader, now, None, second_approver=True)
        request = ConnectionRequest(RegistryHost.parse("registry.example"), Anonymous())
        made = await connections.connect(request, CHECK, actor=maker)
        found, fingerprint = UUID(str(made["id"])), str(made["fingerprint"])
        first = review_view(await reviews.review(found, asked_by=maker))
        await connections.approve(found, fingerprint, end=ApprovalEnd(), actor=approver)
        then = review_view(await reviews.review(found, asked_by=maker))
    assert (first["made_by"], first["made_by_name"]) == ("oidc:a:1", "Alice")
    approved: Json = dict(then)["approved"]  # type: ignore[assignment]  # an object, now
    assert (approved["approved_by"], approved["approved_by_name"]) == ("oidc:a:2", "Bob")
