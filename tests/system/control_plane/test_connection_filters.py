"""The list of connections by host, prefix, and the beginning of an id."""

from urllib.parse import urlencode

import pytest

from tests.support.control_plane import ControlPlane, Json
from tests.support.database import Database
from tests.system.control_plane.test_openapi import require_documented

PATH = "/v1/connections"


async def listed(plane: ControlPlane, **query: str) -> list[Json]:
    """Return a page of what is asked for."""
    answer = await plane.client("eve").call("GET", f"{PATH}?{urlencode(query)}")
    require_documented("GET", PATH, answer)
    assert answer.status == 200, answer.body
    items: list[Json] = answer.json["items"]
    return items


async def test_connections_are_found_by_what_they_are(plane: ControlPlane, host: str) -> None:
    """Also the revoked ones; in the order of their making."""
    alice = plane.client("alice")
    first = await alice.connect(host)
    revoked = await plane.client("bob").revoke(first["id"])
    team = await alice.connect(host, repository_prefix="team")
    whole = await alice.connect(host)
    assert await listed(plane, host=f"https://{host.upper()}/") == [revoked, team, whole]
    assert await listed(plane, host=host, repository_prefix="team") == [team]
    assert await listed(plane, host=host, repository_prefix="") == [revoked, whole]
    assert await listed(plane, id=team["id"][:20].upper()) == [team]
    assert await listed(plane, id=team["id"], host=host) == [team]
    assert await listed(plane, id=team["id"], host="other.example") == []


async def test_a_filtered_list_has_pages(plane: ControlPlane, host: str) -> None:
    """Each begins where the one before ended, whatever else is in the database."""
    alice, found, cursor = plane.client("alice"), [], ""
    views = [await alice.connect(host, repository_prefix=f"team-{n}") for n in range(3)]
    while True:
        query = urlencode({"host": host, "limit": 2} | ({"cursor": cursor} if cursor else {}))
        page = (await plane.client("eve").call("GET", f"{PATH}?{query}")).json
        found += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert found == views


@pytest.mark.parametrize(
    "query, parameters",
    [
        ("host=http://foo_bar:99999/x?y", ["host"]),
        ("host=", ["host"]),
        ("repository_prefix=Team", ["repository_prefix"]),
        ("id=xyz", ["id"]),
        ("id=", ["id"]),
        ("id=%25", ["id"]),
        ("id=1&id=2", ["id"]),
        ("id=x&host=a_b&repository_prefix=/&limit=0&cursor=x&statu=x",
         ["cursor", "host", "id", "limit", "repository_prefix", "statu"]),
    ],
)  # fmt: skip
async def test_every_wrong_parameter_is_named(
    plane: ControlPlane, query: str, parameters: list[str]
) -> None:
    """At once; a filter that is not understood must not list everything."""
    answer = await plane.client("eve").call("GET", f"{PATH}?{query}")
    assert answer.status == 422
    assert sorted({error["parameter"] for error in answer.json["errors"]}) == parameters


@pytest.mark.parametrize("status", ["pending", "approved"])
async def test_a_changed_host_is_found_under_the_signed_one(
    own_plane: ControlPlane, database: Database, status: str
) -> None:
    """Who acts by host must not be led to another connection by a column, nor away from one."""
    view = await own_plane.client("alice").connect("registry.example")
    if status == "approved":
        view = await own_plane.client("bob").approve(view)
    database.sql("UPDATE connections SET host = 'other.example'")
    assert await listed(own_plane, host="other.example") == []
    changed = view | {"problem": "its row in the database says another host or prefix"}
    assert await listed(own_plane, host="registry.example") == [changed]
    assert await listed(own_plane) == [changed]


async def test_what_has_no_row_any_more_is_listed_all_the_same(
    own_plane: ControlPlane, database: Database
) -> None:
    """Also a row without a time, which has no place in the order; page by page, after all rows."""
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    kept = await alice.connect("kept.example")
    lost = [await bob.approve(await alice.connect(f"lost-{n}.example")) for n in range(3)]
    timeless = await bob.approve(await alice.connect("timeless.example"))
    pending = await alice.connect("pending.example")
    database.sql(
        "ALTER TABLE connection_revisions DROP CONSTRAINT connection_revisions_connection_id_fkey"
    )
    database.sql("DELETE FROM connections WHERE host LIKE 'lost-%' OR host LIKE 'pending%'")
    database.sql("UPDATE connections SET created_at = 'infinity' WHERE host LIKE 'timeless%'")
    found, cursor = list[Json](), ""
    while True:
        query = urlencode({"limit": 2} | ({"cursor": cursor} if cursor else {}))
        page = (await own_plane.client("eve").call("GET", f"{PATH}?{query}")).json
        found += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert found[0] == kept
    rowless = {each["id"]: each for each in found[1:]}
    assert len(rowless) == len(found) - 1
    vanished = "its row in the database has vanished, or has no time"
    for each in (*lost, timeless):
        assert rowless[each["id"]] == each | {"problem": vanished}
        assert await listed(own_plane, host=each["host"]) == [rowless[each["id"]]]
        assert await own_plane.client("eve").show(each["id"]) == rowless[each["id"]]
    assert vanished in rowless.pop(pending["id"])["problem"]
    assert len(rowless) == len(lost) + 1


async def test_device_revocations_are_found_by_the_beginning_of_their_id(
    plane: ControlPlane,
) -> None:
    """Alone, not beside a device."""
    bob, path = plane.client("bob"), "/v1/device-revocations"
    view = await bob.revoke_device(device="press-of-a-filter")
    answer = await bob.call("GET", f"{path}?id={view['id'][:20].upper()}")
    assert answer.json["items"] == [view]
    for query in ("id=x", f"id={view['id']}&device=press-of-a-filter"):
        answer = await bob.call("GET", f"{path}?{query}")
        assert [error["parameter"] for error in answer.json["errors"]] == ["id"]
    await bob.lift(view["id"])
    assert (await bob.call("GET", f"{path}?id={view['id']}")).json["items"] == []
