"""Whether devices may list referrers: seen, approved and signed, once every reader knows it."""

import re
from pathlib import Path

import orjson
import yaml

from shared.connection import ConnectionDocument
from tests.support.console_client import console_client
from tests.support.control_plane import ControlPlane, served
from tests.support.shell import shell
from tests.system.control_plane.conftest import StartPlane
from tests.system.control_plane.console.test_change_outcomes import seen_in

LEVEL = "CONTROL_PLANE_STATEMENT_LEVEL"


async def signed(plane: ControlPlane, connection_id: str) -> ConnectionDocument:
    """Return the document that facades read."""
    approval = await served(plane, connection_id)
    return ConnectionDocument.from_bytes(approval.document.encode())


async def test_it_is_off_and_refused_until_the_operator_says_that_all_know_it(
    plane: ControlPlane, host: str
) -> None:
    """An older facade would withdraw the connection, and an older control plane not believe it."""
    alice, bob = plane.client("alice"), plane.client("bob")
    problem = await alice.connect(host, expect=409, referrers=True)
    assert f"{LEVEL}=3" in problem["detail"]
    view = await bob.approve(await alice.connect(host, referrers=False))
    assert view["referrers"] is False
    refused = await alice.call("PATCH", f"/v1/connections/{view['id']}", {"referrers": True})
    assert (refused.status, f"{LEVEL}=3" in refused.json["detail"]) == (409, True)
    assert b"referrers" not in (await signed(plane, view["id"])).to_bytes()
    ran = await shell(plane, "connections", "edit", host, "--referrers", operator="alice")
    assert (ran.status, f"{LEVEL}=3" in ran.words) == (1, True)


async def test_it_is_seen_approved_and_signed(
    start_plane: StartPlane, host: str, tmp_path: Path
) -> None:
    """By API, by commands, and in files; the approver reads a line of it."""
    plane = await start_plane({LEVEL: "3"})
    bob = plane.client("bob")
    add = ("connections", "add", host, "--anonymous", "--referrers", "--no-check", "--json")
    view = orjson.loads(plane.run(*add, operator="alice"))
    assert view["referrers"] is True
    review = plane.run("connections", "review", view["id"], operator="bob")
    assert "listed by digest: signatures, SBOMs, attestations" in review
    await bob.approve(view)
    assert (await signed(plane, view["id"])).referrers
    assert "listed by digest" in plane.run("connections", "show", host, operator="eve")

    exported = plane.run("export", operator="alice")
    (file,) = yaml.safe_load(exported)["connections"].values()
    assert file["referrers"] is True
    path = tmp_path / "connections.yaml"
    path.write_text(exported.replace("referrers: true", "referrers: false"))
    ran = await shell(plane, "apply", "--no-check", "-f", str(path), operator="alice")
    assert (ran.status, "referrers" in ran.output) == (0, True)
    shown = await bob.call("GET", f"/v1/connections/{view['id']}/review")
    (line,) = [each for each in shown.json["lines"] if each["name"] == "referrers"]
    assert (line["change"], line["before"], line["after"]) == (
        "changed",
        ["listed by digest: signatures, SBOMs, attestations"],
        ["not listed"],
    )
    edited = plane.run("connections", "edit", host, "--referrers", "--json", operator="alice")
    assert orjson.loads(edited)["draft"]["referrers"] is True


async def test_the_console_asks_for_it_and_says_which_level_it_needs(
    plane: ControlPlane, host: str
) -> None:
    """A form that is refused keeps what was ticked; unticked, it is stored."""
    view = await plane.client("alice").connect(host)
    path = f"/console/connections/{view['id']}/edit"
    async with console_client(plane, "alice") as client:
        form = await client.get(path)
        assert "Devices may list referrers" in form.text
        sent = {"form_token": form.form_token, "seen": seen_in(form.text), "fleets": "line-a"}
        refused = await client.post(path, sent | {"referrers": "true"})
        assert (refused.status, f"{LEVEL}=3" in refused.text) == (409, True)
        assert re.search(r'name="referrers"[^>]* checked', refused.text)
        assert (await client.post(path, sent)).status == 303
        connect = "/console/connect/login"
        form = await client.get(connect)
        sent = {"form_token": form.form_token, "host": f"other.{host}", "referrers": "true"}
        refused = await client.post(connect, sent)
        assert (refused.status, f"{LEVEL}=3" in refused.text) == (409, True)
    now = await plane.client("eve").show(view["id"])
    assert (now["fleets"], now["referrers"]) == (["line-a"], False)
