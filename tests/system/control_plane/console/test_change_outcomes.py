"""What becomes of a change that somebody else came before, or that may not be; in words."""

import re

import pytest

from tests.support.console_client import console_client
from tests.support.control_plane import ControlPlane, Json, approved_connection
from tests.support.database import Database
from tests.support.simulators.google import ServiceAccount

CANARY = "canary-of-a-change"


def seen_in(text: str) -> str:
    """Return the tag of what a page showed."""
    return text.partition('name="seen" value="')[2].partition('"')[0].replace("&#34;", '"')


async def changed(
    plane: ControlPlane, who: str, view: Json, page: str, **fields: str
) -> tuple[int, str]:
    """Open a page, send its form, and return the answer's status and text."""
    path = f"/console/connections/{view['id']}/{page}"
    async with console_client(plane, who) as client:
        form = await client.get(path)
        sent = {"form_token": form.form_token, "seen": seen_in(form.text), **fields}
        answer = await client.post(path, sent)
    assert CANARY not in answer.text + plane.log.read_text()
    return answer.status, answer.text or answer.headers["Location"]


async def test_who_edits_what_is_another_one_now_is_told_and_overwrites_nothing(
    plane: ControlPlane, host: str
) -> None:
    """Two connectors at once: the second looks at the first one's draft."""
    view = await approved_connection(plane, host)
    path = f"/console/connections/{view['id']}/edit"
    async with console_client(plane, "alice") as client:
        form = await client.get(path)
        await plane.client("root").edit(view["id"], fleets=["line-a"])
        sent = {"form_token": form.form_token, "seen": seen_in(form.text), "fleets": "line-b"}
        refused = await client.post(path, sent)
        assert refused.status == 412
        assert "this is not what was seen" in refused.text
        assert "root" in refused.text
        assert ">\nline-b</textarea>" in refused.text
        assert (await plane.client("eve").show(view["id"]))["draft"]["fleets"] == ["line-a"]
        again = await client.post(path, sent | {"seen": seen_in(refused.text)})
    assert again.status == 303
    assert (await plane.client("eve").show(view["id"]))["draft"]["fleets"] == ["line-b"]


async def test_a_rotation_during_an_edit_is_told(plane: ControlPlane, host: str) -> None:
    """And an edit during a rotation: nobody's secret is lost without a word."""
    view = await approved_connection(plane, host, username="robot", token=CANARY)
    async with console_client(plane, "bob") as client:
        paths = [f"/console/connections/{view['id']}/{page}" for page in ("edit", "rotate")]
        edit, rotate = [await client.get(path) for path in paths]
        rotation = {"form_token": rotate.form_token, "seen": seen_in(rotate.text)}
        rotation |= {"username": "robot", "token": f"{CANARY}-2", "approve": "true"}
        assert (await client.post(paths[1], rotation)).status == 303
        sent = {"form_token": edit.form_token, "seen": seen_in(edit.text), "username": "robot"}
        refused = await client.post(paths[0], sent | {"fleets": "line-a"})
        assert (refused.status, "this is not what was seen" in refused.text) == (412, True)
        again = await client.post(paths[1], rotation)
    assert (again.status, "this is not what was seen" in again.text) == (412, True)
    assert CANARY not in again.text + plane.log.read_text()
    now = await plane.client("eve").show(view["id"])
    assert (now["secret_version"], now["draft"]) == (2, None)


async def test_a_form_without_what_was_seen_changes_nothing(plane: ControlPlane, host: str) -> None:
    """A page of ours always says it."""
    view = await approved_connection(plane, host)
    for page in ("edit", "rotate"):
        status, _ = await changed(plane, "alice", view, page, seen="", fleets="line-b")
        assert status == 412


async def test_a_draft_that_changed_is_not_discarded(plane: ControlPlane, host: str) -> None:
    """Who wanted to be rid of the old one may want the new one."""
    view = await approved_connection(plane, host)
    await plane.client("alice").edit(view["id"], fleets=["line-a"])
    async with console_client(plane, "alice") as client:
        path = f"/console/connections/{view['id']}"
        shown = await client.get(path)
        await plane.client("root").edit(view["id"], fleets=["line-b"])
        sent = {"form_token": shown.form_token, "seen": seen_in(shown.text)}
        refused = await client.post(f"{path}/discard", sent)
    assert (refused.status, "this is not what was seen" in refused.text) == (412, True)
    assert (await plane.client("eve").show(view["id"]))["draft"]["fleets"] == ["line-b"]


async def test_what_is_revoked_is_neither_edited_nor_revoked_again(
    plane: ControlPlane, host: str
) -> None:
    """The form says who was first."""
    view = await approved_connection(plane, host)
    path = f"/console/connections/{view['id']}"
    async with console_client(plane, "bob") as client:
        form, edit = await client.get(f"{path}/revoke"), await client.get(f"{path}/edit")
        await plane.client("root").revoke(view["id"])
        sent = {"form_token": form.form_token, "place": host, "seen": seen_in(edit.text)}
        for page in ("revoke", "edit"):
            refused = await client.post(f"{path}/{page}", sent)
            assert refused.status == 409
            assert "root revoked it at" in refused.text
        assert "It is revoked already." in (await client.get(f"{path}/revoke")).text
        assert (await client.get(path)).status == 200


async def test_a_form_whose_page_is_gone_says_so_and_what_is_wrong_with_it(
    own_plane: ControlPlane,
) -> None:
    """Somebody was faster, and it was filled in wrong besides: nothing is only "wrong"."""
    async with console_client(own_plane, "root") as root:
        form = await root.get("/console/operators/eve")
        own_plane.run("operators", "remove", "eve")
        sent = {"form_token": form.form_token, "ends": "soon"}
        refused = await root.post("/console/operators/eve/rotate", sent)
    assert refused.status == 422
    (words,) = re.findall(r'role="alert">(.*?)</div>', refused.text, re.DOTALL)
    assert "<p>ends: choose when the token ends</p>" in words
    assert "there is no operator eve" in words


async def test_a_connection_whose_row_is_gone_is_shown_all_the_same(
    own_plane: ControlPlane, database: Database, host: str
) -> None:
    """The signed log names it; its page says what is wrong, and has no place to type."""
    view = await approved_connection(own_plane, host)
    row = f"id = '{view['id']}'"
    database.sql(
        f"UPDATE connections SET approved_revision = NULL WHERE {row};"
        f" DELETE FROM connection_revisions WHERE connection_{row};"
        f" DELETE FROM connections WHERE {row}"
    )
    path = f"/console/connections/{view['id']}"
    async with console_client(own_plane, "bob") as bob:
        page = await bob.get(path)
        assert (page.status, "has vanished" in page.text) == (200, True)
        assert "bob</strong> approved it" in page.text
        form = await bob.get(f"{path}/revoke")
        sent = {"form_token": form.form_token, "place": ""}
        assert (await bob.post(f"{path}/revoke", sent)).status == 422


@pytest.mark.parametrize("page", ["edit", "rotate", "grant", "revoke"])
async def test_a_page_needs_the_role_of_its_operation(
    plane: ControlPlane, host: str, page: str
) -> None:
    """And no link leads there for whoever has not that role."""
    view = await approved_connection(plane, host)
    path = f"/console/connections/{view['id']}"
    async with console_client(plane, "eve") as eve:
        assert (await eve.get(f"{path}/{page}")).status == 403
        assert f"{path}/{page}" not in (await eve.get(path)).text


async def test_a_google_key_is_read_and_never_shown_again(plane: ControlPlane) -> None:
    """Also one that is no JSON."""
    key = ServiceAccount.create().key_json()
    view = await plane.client("alice").connect(
        "europe-docker.pkg.dev",
        provider="google_service_account",
        service_account_key=key,
        repository_prefix="project/of-a-page",
    )
    status, text = await changed(plane, "alice", view, "rotate", service_account_key=f"{{{CANARY}")
    assert (status, "expected the JSON key as Google hands it out" in text) == (422, True)
    status, location = await changed(plane, "alice", view, "edit", fleets="line-a")
    assert (status, location) == (303, f"/console/connections/{view['id']}?done=draft-made")
    assert (await plane.client("eve").show(view["id"]))["fleets"] == ["line-a"]


async def test_a_connection_that_is_not_there_is_said_so(plane: ControlPlane) -> None:
    """As the API says it."""
    async with console_client(plane, "bob") as bob:
        for path in ("x", "00000000-0000-4000-8000-000000000000"):
            page = await bob.get(f"/console/connections/{path}")
            assert (page.status, "there is no connection of this id" in page.text) == (404, True)


async def test_a_long_history_has_pages(plane: ControlPlane, host: str) -> None:
    """The older ones behind a link."""
    view = await plane.client("alice").connect(host)
    for number in range(22):
        await plane.client("alice").edit(view["id"], fleets=[f"line-{number}"])
    path = f"/console/connections/{view['id']}"
    async with console_client(plane, "eve") as eve:
        newest = await eve.get(path)
        assert "connected it" not in newest.text
        older = newest.text.partition(f'href="{path}?before=')[2].partition('"')[0]
        rest = await eve.get(f"{path}?before={older}")
    assert "connected it" in rest.text
    assert "To the newest" in rest.text
