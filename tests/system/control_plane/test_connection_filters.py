"""The list of connections by host, prefix, and the beginning of an id."""

from urllib.parse import urlencode

import pytest

from tests.support.control_plane import ControlPlane, Json
from tests.support.database import Database
from tests.support.days_ahead import day_ahead, noon_of
from tests.support.shell import shell
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
        ("status=serving", ["status"]),
        ("provider=ecr", ["provider"]),
        ("problem=yes", ["problem"]),
        ("expires_before=2030-01-01", ["expires_before"]),
        ("search=", ["search"]),
        ("search=a%0Ab", ["search"]),
        (f"search={'x' * 101}", ["search"]),
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


async def test_connections_are_found_by_status_provider_and_text(own_plane: ControlPlane) -> None:
    """Each parameter alone and together; a text in host, prefix, description and identity."""
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    robot: Json = {"username": "Robot$Team", "token": "x"}
    waits = await alice.connect("waits.example", **robot, description="Press of hall Ä")
    serves = await bob.approve(await alice.connect("serves.example", repository_prefix="team"))
    beside = await bob.approve(await alice.connect("beside.example", **robot))
    beside = await alice.edit(beside["id"], fleets=["line-a"])
    role = "arn:aws:iam::408408408408:role/Pull"
    ecr = await alice.connect(
        "408408408408.dkr.ecr.eu-west-1.amazonaws.com", provider="aws_ecr", role_arn=role
    )
    gone = await bob.revoke((await bob.approve(await alice.connect("gone.example")))["id"])
    thrown = await alice.connect("thrown.example")
    await alice.discard(thrown["id"])
    thrown = await alice.show(thrown["id"])
    for query, expected in (
        ({"status": "pending"}, [waits, ecr]),
        ({"status": "approved"}, [serves, beside]),
        ({"status": "revoked"}, [gone, thrown]),
        ({"provider": "aws_ecr"}, [ecr]),
        ({"provider": "google_service_account"}, []),
        ({"provider": "static", "status": "pending"}, [waits]),
        ({"provider": "static", "status": "revoked"}, [gone, thrown]),
        ({"search": "ROBOT"}, [waits, beside]),
        ({"search": "robot$team"}, [waits, beside]),
        ({"search": "serves.example/TEAM"}, [serves]),
        ({"search": "hall ä"}, [waits]),
        ({"search": "press of"}, [waits]),
        ({"search": "role/pull"}, [ecr]),
        ({"search": "line-a"}, []),
        ({"search": ".example", "status": "approved", "provider": "static"}, [serves, beside]),
        ({"search": "%"}, []),
        ({"search": "_"}, []),
        ({"problem": "true"}, []),
        ({"problem": "false", "status": "pending"}, [waits, ecr]),
    ):
        assert await listed(own_plane, **query) == expected, query


async def test_lists_in_a_shell_are_filtered_too(plane: ControlPlane, host: str) -> None:
    """By the API's own parameters."""
    await plane.client("alice").connect(host, description=f"a press of {host}")
    found = await shell(plane, "connections", "list", "--search", f"PRESS of {host}")
    assert (found.status, host[:12] in found.output, found.output.count("\n")) == (0, True, 2)
    for options in (
        ("--provider", "aws_ecr", "--search", host),
        ("--problem", "--search", host),
        ("--expires-before", "2030-01-01T00:00:00Z", "--search", host),
        ("--expires-before", "3650d", "--search", host),
    ):
        nothing = await shell(plane, "connections", "list", *options)
        assert (nothing.status, nothing.output) == (0, "")
        assert "that fit" in nothing.words
    of_host = await shell(plane, "connections", "list", "--host", f"https://{host}/")
    assert (host[:12] in of_host.output, of_host.output.count("\n")) == (True, 2)
    at = ("--host", host, "--status")
    pending = await shell(plane, "connections", "list", *at, "pending")
    assert (pending.status, pending.output.count("\n")) == (0, 2)
    approved = await shell(plane, "connections", "list", *at, "approved")
    assert (approved.status, approved.output) == (0, "")
    assert "of the status approved that fit" in approved.words
    wrong = await shell(
        plane, "connections", "list", "--expires-before", "soon", "--host", "a_b", "--search", "\t"
    )
    assert wrong.status == 1
    for option in ("--expires-before (expires_before)", "--host (host)", "--search (search)"):
        assert f"\n  {option}: " in wrong.words


async def test_what_ends_soon_is_found(own_plane: ControlPlane) -> None:
    """An approval's end, or a credential's as it was stated; not of what is revoked."""
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    robot: Json = {"username": "robot", "token": "x"}
    day = day_ahead(4)
    soon, later = f"{day}T12:00:00Z", noon_of(day_ahead(14))
    await alice.connect("endless.example", **robot)
    approval = await bob.approve(await alice.connect("approval.example"), expires_at=soon)
    credential = await alice.connect("credential.example", **robot, credential_expires_at=soon)
    rotated = await alice.connect("rotated.example", **robot, credential_expires_at=soon)
    rotated = await bob.approve(rotated)
    rotated = await bob.put_credential(
        rotated["id"], token="y", approve=True, credential_expires_at=later
    )
    revoked = await bob.approve(await alice.connect("revoked.example"), expires_at=soon)
    await bob.revoke(revoked["id"])
    found = await listed(own_plane, expires_before=f"{day}T12:00:00.001Z")
    assert found == [approval, credential]
    assert await listed(own_plane, expires_before=f"{day}T13:00:00+01:00") == []
    assert await listed(own_plane, expires_before=noon_of(day_ahead(15))) == [
        approval,
        credential,
        rotated,
    ]


async def test_problems_are_found_wherever_they_are(
    own_plane: ControlPlane, database: Database
) -> None:
    """What no column tells: an ended approval, a broken signature; a page looks at so many."""
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    views = [await bob.approve(await alice.connect(f"r{n}.example")) for n in range(4)]
    database.sql(
        "UPDATE statements SET signature = 'x' WHERE subject IN"
        f" ('connection/{views[1]['id']}', 'connection/{views[3]['id']}')"
    )
    first, second = await listed(own_plane, problem="true")
    assert [first["id"], second["id"]] == [views[1]["id"], views[3]["id"]]
    assert first["status"] == second["status"] == "pending"
    assert await listed(own_plane, problem="false") == [views[0], views[2]]
    answer = await own_plane.client("eve").call("GET", f"{PATH}?problem=true&limit=1")
    assert answer.json["items"] == [first]
    rest = await listed(own_plane, problem="true", cursor=answer.json["next_cursor"])
    assert rest == [second]


async def test_what_a_missing_key_signed_is_found_as_pending(
    own_plane: ControlPlane, database: Database
) -> None:
    """Its row says that it is approved, and nobody believes that."""
    view = await own_plane.client("bob").approve(
        await own_plane.client("alice").connect("registry.example")
    )
    database.sql("UPDATE statements SET key_id = '0123456789abcdef' WHERE subject LIKE 'conn%'")
    (found,) = await listed(own_plane, status="pending")
    assert (found["id"], found["status"]) == (view["id"], "pending")
    assert "0123456789abcdef" in found["problem"]
    assert await listed(own_plane, status="approved") == []
