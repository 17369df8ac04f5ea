"""Many devices are revoked by one call and in one act: all of them, or none."""

import uuid
from pathlib import Path

import pytest

from control_plane.commands.device_file import MAX_NAMED_WRONG_LINES
from control_plane.device_revocations.request import MAX_REVOCATIONS
from control_plane.http.http_call import MAX_REVOCATIONS_BODY_BYTES
from tests.support.control_plane import ControlPlane
from tests.support.shell import shell
from tests.system.control_plane.test_openapi import require_documented

PATH = "/v1/device-revocations/batch"


@pytest.fixture
def fleet() -> str:
    """How the devices of a test begin."""
    return f"spiffe://example.com/fleet/{uuid.uuid4().hex}/device"


async def in_force(plane: ControlPlane, device: str) -> int:
    """Return how many revocations of a device are in force."""
    answer = await plane.client("bob").call("GET", f"/v1/device-revocations?device={device}")
    return len(answer.json["items"])


async def test_each_has_its_answer_and_its_entry(own_plane: ControlPlane, fleet: str) -> None:
    """In the order of the request; who is named twice is revoked once, who was stays as it was."""
    bob = own_plane.client("bob")
    before = await bob.revoke_device(device=f"{fleet}/2", reason="lost")
    logged = len(await bob.audit())
    asked = [
        {"device": f"{fleet}/1", "reason": "stolen"},
        {"device": f"{fleet}/2", "reason": "stolen"},
        {"serial": "0A:BC", "issuer": "CN=Device CA"},
        {"serial": "0A:BC"},
        {"device": f"{fleet}/1", "reason": "twice"},
    ]
    answer = await bob.call("POST", PATH, {"revocations": asked})
    require_documented("POST", PATH, answer)
    items = answer.json["items"]
    assert [item["is_new"] for item in items] == [True, False, True, True, False]
    views = [item["revocation"] for item in items]
    assert views[1] == before
    assert views[4] == views[0]
    assert [view["issuer"] for view in views[2:4]] == ["CN=Device CA", None]
    entries = (await bob.audit())[logged:]
    assert [entry["details"]["revocation"] for entry in entries] == [
        views[at]["id"] for at in (0, 2, 3)
    ]
    again = await bob.call("POST", PATH, {"revocations": asked})
    assert [item["is_new"] for item in again.json["items"]] == [False] * 5
    assert [item["revocation"] for item in again.json["items"]] == views
    assert len(await bob.audit()) == logged + 3
    await bob.lift(views[0]["id"])
    assert await in_force(own_plane, f"{fleet}/1") == 0
    once_more = await bob.call("POST", PATH, {"revocations": asked[:1]})
    assert once_more.json["items"][0]["is_new"]
    verified = await shell(own_plane, "audit", "verify", operator=None)
    assert verified.status == 0, verified.words


async def test_one_that_is_wrong_refuses_all(plane: ControlPlane, fleet: str) -> None:
    """Every wrong field is named by its place; nobody is revoked."""
    bob = plane.client("bob")
    asked = [{"device": f"{fleet}/1"}, {"device": "a b"}, {"serial": "xyz", "other": 1}]
    answer = await bob.call("POST", PATH, {"revocations": asked})
    require_documented("POST", PATH, answer)
    assert answer.status == 422
    assert {each["pointer"] for each in answer.json["errors"]} == {
        "/revocations/1/device",
        "/revocations/2/serial",
        "/revocations/2/other",
    }
    assert await in_force(plane, f"{fleet}/1") == 0
    nothing: list[dict[str, object]] = [
        {},
        {"revocations": []},
        {"revocations": [1]},
        {"revocations": {}},
    ]
    for body in nothing:
        assert (await bob.call("POST", PATH, body)).status == 422
    many = [{"device": f"{fleet}/{number}"} for number in range(MAX_REVOCATIONS + 1)]
    assert (await bob.call("POST", PATH, {"revocations": many})).status == 422
    large = await bob.call("POST", PATH, content=b" " * (MAX_REVOCATIONS_BODY_BYTES + 1))
    assert large.status == 413
    html = {"Content-Type": "text/html"}
    assert (await bob.call("POST", PATH, content=b"{}", headers=html)).status == 415
    assert await in_force(plane, f"{fleet}/1") == 0


async def test_a_file_or_standard_input_names_them(
    plane: ControlPlane, fleet: str, tmp_path: Path
) -> None:
    """One a line; what was revoked already is said, and JSON has the answers."""
    serial = uuid.uuid4().hex
    text = f"{fleet}/1\n\n{fleet}/2\nserial:{serial} CN=Device CA\nserial:{serial}\n"
    file = tmp_path / "devices"
    file.write_text(text)
    revoke = ("devices", "revoke", "--from")
    listed = await shell(plane, *revoke, str(file), "--reason", "stolen", operator="bob")
    assert listed.status == 0, listed.words
    assert listed.output.splitlines() == [
        f"{fleet}/1 is served no longer",
        f"{fleet}/2 is served no longer",
        *[f"serial:{serial.lstrip('0')} is served no longer"] * 2,
    ]
    assert "4 revoked, 0 were revoked already" in listed.words
    again = await shell(plane, *revoke, "-", "--json", operator="bob", given=text)
    assert [item["is_new"] for item in again.result] == [False] * 4
    assert {item["revocation"]["reason"] for item in again.result} == {"stolen"}
    nobody = await shell(plane, *revoke, "-", "--json", operator="bob", given="\n")
    assert (nobody.status, nobody.output) == (2, "")
    assert "standard input names no device" in nobody.words


async def test_wrong_lines_are_named_and_nothing_is_sent(plane: ControlPlane, fleet: str) -> None:
    """By their numbers, before the first batch; the first twenty of them."""
    lines = [f"{fleet}/1", "a b", "serial:xyz", "serial:ab =", *["c d"] * 100]
    refused = await shell(
        plane, "devices", "revoke", "--from", "-", operator="bob", given="\n".join(lines)
    )
    assert refused.status == 2
    for number in (2, 3, 4):
        assert f"line {number}: expected" in refused.words
    assert refused.words.count("line ") == MAX_NAMED_WRONG_LINES
    assert "and 83 more" in refused.words
    assert await in_force(plane, f"{fleet}/1") == 0
    both = await shell(plane, "devices", "revoke", "x", "--from", "-", operator="bob", given="y")
    assert both.status == 2
