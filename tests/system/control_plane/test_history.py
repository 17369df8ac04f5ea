"""A connection's history: who did what when, and what it changed, from verified audit entries."""

from tests.support.control_plane import ControlPlane, Json, approved_connection
from tests.support.database import Database
from tests.support.shell import shell
from tests.system.control_plane.test_openapi import require_documented

PATH = "/v1/connections/{id}/history"
CANARY = "canary-token-of-a-history"


async def history(plane: ControlPlane, connection_id: str, **query: str) -> Json:
    """Return a page of a connection's history."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    path = PATH.replace("{id}", connection_id)
    answer = await plane.client("eve").call("GET", f"{path}?{asked}")
    require_documented("GET", PATH, answer)
    assert answer.status == 200, answer.body
    assert CANARY.encode() not in answer.body
    return dict(answer.json)


async def whole_life(plane: ControlPlane, host: str) -> Json:
    """Do everything to a connection, and return its view."""
    alice, bob = plane.client("alice"), plane.client("bob")
    view = await alice.connect(host, username="robot", token=CANARY)
    await alice.edit(view["id"], repositories=["team/app"])
    view = await bob.approve(await alice.show(view["id"]))
    await alice.edit(view["id"], fleets=["line-a"], description="a press")
    await alice.discard(view["id"])
    await alice.put_credential(view["id"], token=f"{CANARY}-2")
    await bob.approve(await alice.show(view["id"]))
    await bob.put_credential(view["id"], token=f"{CANARY}-3", approve=True)
    return await bob.revoke(view["id"], reason="moved")


async def test_a_history_says_who_did_what_and_what_it_changed(
    plane: ControlPlane, host: str
) -> None:
    """Field by field, against what the act came upon; the newest first; secrets are counted."""
    view = await whole_life(plane, host)
    page = await history(plane, view["id"])
    acts = page["items"][::-1]
    assert page["next_cursor"] is None
    assert [
        (each["action"].partition(".")[2], each["actor"], each["revision"]) for each in acts
    ] == [
        ("connect", "alice", 1),
        ("draft", "alice", 2),
        ("approve", "bob", 2),
        ("draft", "alice", 3),
        ("discard", "alice", 3),
        ("draft", "alice", 4),
        ("approve", "bob", 4),
        ("rotate", "bob", 5),
        ("revoke", "bob", 5),
    ]
    scope = {"field": "repositories", "before": [], "after": ["team/app"]}
    fleets = {"field": "fleets", "before": [], "after": ["line-a"]}
    rotated = {"field": "secret_version", "before": 1, "after": 4}
    again = {"field": "secret_version", "before": 4, "after": 5}
    assert [each["changes"] for each in acts] == [
        [],
        [scope],
        [],
        [fleets, {"field": "description", "after": "a press"}],
        [],
        [rotated],
        [rotated],
        [again],
        [],
    ]
    assert acts[-1]["details"]["reason"] == "moved"
    assert {each["problem"] for each in acts} == {None}
    listed = {each["sequence"]: each["at"] for each in await plane.client("eve").audit_about(view)}
    assert all(listed[each["sequence"]] == each["at"] for each in acts)


async def test_pages_of_a_history_say_the_same_as_the_whole(plane: ControlPlane, host: str) -> None:
    """What an act came upon may be on the next page, or several pages down."""
    view = await whole_life(plane, host)
    whole = (await history(plane, view["id"]))["items"]
    for limit in (1, 2, 4, 9):
        found, query = list[Json](), {"limit": str(limit)}
        while True:
            page = await history(plane, view["id"], **query)
            found += page["items"]
            if page["next_cursor"] is None:
                break
            assert len(page["items"]) == limit
            query["cursor"] = page["next_cursor"]
        assert found == whole


async def test_only_connections_have_a_history(plane: ControlPlane) -> None:
    """Nothing of an id that nobody made; wrong parameters are named."""
    eve = plane.client("eve")
    for of, status in (
        ("00000000-0000-4000-8000-000000000000", 404),
        ("x", 404),
        ("00000000-0000-4000-8000-000000000000", 422),
    ):
        query = "?cursor=x&limit=0&since=now" if status == 422 else ""
        answer = await eve.call("GET", f"{PATH.replace('{id}', of)}{query}")
        require_documented("GET", PATH, answer)
        assert answer.status == status
        if status == 422:
            wrong = {error["parameter"] for error in answer.json["errors"]}
            assert wrong == {"cursor", "limit", "since"}


async def test_what_was_changed_in_the_database_is_told(
    own_plane: ControlPlane, database: Database
) -> None:
    """A document, columns beside an entry, an entry under another connection, a signature."""
    view = await approved_connection(own_plane, "registry.example")
    other = await own_plane.client("alice").connect("other.example")
    await own_plane.client("alice").edit(view["id"], fleets=["line-a"])
    edited, approved, made = (await history(own_plane, view["id"]))["items"]
    database.sql("UPDATE connection_revisions SET document = '{}' WHERE revision = 2")
    database.sql(f"UPDATE audit_entries SET actor = 'root' WHERE sequence = {approved['sequence']}")
    untrue, as_bob, _ = (await history(own_plane, view["id"]))["items"]
    assert (untrue["changes"], edited["changes"] == []) == ([], False)
    assert "not in the database as it was signed" in untrue["problem"]
    assert "not what is signed" in as_bob["problem"]
    database.sql(
        f"UPDATE audit_entries SET about = 'connection/{other['id']}'"
        f" WHERE sequence IN ({edited['sequence']}, {made['sequence']})"
    )
    lost, *rest = (await history(own_plane, view["id"]))["items"]
    assert lost == {"sequence": edited["sequence"], "problem": lost["problem"]}
    assert "not found" in lost["problem"]
    assert [each["sequence"] for each in rest] == [approved["sequence"]]
    assert [each["actor"] for each in (await history(own_plane, other["id"]))["items"]] == ["alice"]
    database.sql(
        f"UPDATE audit_entries SET signature = 'x' WHERE sequence = {approved['sequence']}"
    )
    (_, unsigned) = (await history(own_plane, view["id"]))["items"]
    assert unsigned["sequence"] == approved["sequence"]
    assert "not believed" in unsigned["problem"]


async def test_a_history_is_shown_in_a_shell(plane: ControlPlane, host: str) -> None:
    """One line an act, the newest first; wide, with what was said and what a field became."""
    view = await whole_life(plane, host)
    shown = (await shell(plane, "connections", "history", host, operator="eve")).output
    head, *lines = [line.split("  ") for line in shown.splitlines()]
    assert [cell.strip() for cell in head if cell] == ["SEQ", "AT", "WHO", "DID", "CHANGED"]
    assert [line[-1].strip() for line in lines][:3] == ["-", "Secret, version", "Secret, version"]
    assert len(lines) == 9
    wide = await shell(plane, "connections", "history", view["id"], "--wide", operator="eve")
    assert "Fleets: all -> line-a; Description: none -> a press" in wide.output
    assert wide.output.splitlines()[1].endswith("moved")
    last = await shell(plane, "connections", "history", host, "--last", "2", "--json")
    assert last.result == (await history(plane, view["id"]))["items"][:2]
    assert CANARY not in shown + wide.output + last.output
