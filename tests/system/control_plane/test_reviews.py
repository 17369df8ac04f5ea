"""What an approver is asked: the review of a draft, by the API and in a shell."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from mnemonic import Mnemonic

from deploy.dev.device_ca import CertificateAuthority
from tests.support.control_plane import ControlPlane, Json, approved_connection
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
        if line["change"] != "same" and line["section"] != "made"
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
    await alice.edit(view["id"], fleets=["a", "b"], plain_http=True, token=CANARY + "2")
    shown = await review(plane, view)
    assert changed(shown) == {
        "fleets": ("changed", ["a"], ["a", "b"]),
        "plain_http": ("changed", ["TLS"], ["none: plain HTTP"]),
        "secret": ("changed", ["version 1"], ["replaced (version 2)"]),
    }
    assert shown["changed_terms"] == 3
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
