"""An admin lists, makes, rotates and removes operators; a token is in one answer alone."""

import orjson

from tests.support.control_plane import Answer, ControlPlane, Json
from tests.support.database import Database
from tests.support.days_ahead import day_ahead, noon_of
from tests.support.eventually import eventually
from tests.system.control_plane.conftest import StartPlane
from tests.system.control_plane.test_openapi import require_documented

ALL, ONE = "/v1/operators", "/v1/operators/{name}"
ROTATE = f"{ONE}/rotate"
PERSON = "oidc:https%3A%2F%2Fid.example:42"


async def call(
    plane: ControlPlane,
    method: str,
    template: str,
    name: str = "",
    body: object = None,
    *,
    operator: str = "root",
    headers: dict[str, str] | None = None,
) -> Answer:
    """Call as an admin, or as somebody else; the answer is as it is described."""
    path = template.replace("{name}", name)
    answer = await plane.client(operator).call(method, path, body, headers=headers)
    require_documented(method, template, answer)
    return answer


async def listed(plane: ControlPlane) -> dict[str, Json]:
    """Return all operators by their names, a few at a time."""
    found, query = list[Json](), "?limit=2"
    while True:
        answer = await plane.client("root").call("GET", f"{ALL}{query}")
        require_documented("GET", ALL, answer)
        assert len(answer.json["items"]) <= 2
        found += answer.json["items"]
        if answer.json["next_cursor"] is None:
            break
        query = f"?limit=2&cursor={answer.json['next_cursor']}"
    names = [each["name"] for each in found]
    assert names == sorted(set(names))
    return {each["name"]: each for each in found}


async def test_an_admin_makes_rotates_and_removes_operators(
    own_plane: ControlPlane, database: Database
) -> None:
    """From the answer that has the token to the refusal of it; nothing else ever has it."""
    day = day_ahead(4)
    body = {"name": "carol", "role": "connector", "expires_at": f"{day}T12:00:00Z"}
    made = await call(own_plane, "POST", ALL, body=body)
    assert made.status == 201
    assert made.headers["Location"] == f"{ALL}/carol"
    token = made.json["token"]
    view = made.json["operator"]
    assert (view["role"], view["issued_by"]) == ("connector", "root")
    assert view["expires_at"] == noon_of(day)
    carol = own_plane.client(None, token=token)
    assert (await carol.call("GET", "/v1/me")).json["name"] == "carol"
    assert set(await listed(own_plane)) == {"alice", "bob", "carol", "eve", "root"}
    rotated = await call(own_plane, "POST", ROTATE, "carol", {"expires_at": None})
    assert rotated.json["operator"]["expires_at"] is None
    assert "was replaced" in (await carol.call("GET", "/v1/me")).json["detail"]
    second = own_plane.client(None, token=rotated.json["token"])
    assert (await second.call("GET", "/v1/me")).status == 200
    assert (await call(own_plane, "DELETE", ONE, "carol")).status == 204
    assert (await second.call("GET", "/v1/me")).status == 401
    assert (await call(own_plane, "GET", ONE, "carol")).status == 404
    entries = await own_plane.client("eve").audit()
    acts = [
        (each["action"], each["actor"]) for each in entries if each["about"] == "operator/carol"
    ]
    assert acts == [(f"operator.{each}", "root") for each in ("add", "rotate", "remove")]
    told = own_plane.log.read_text() + str(entries) + database.sql("SELECT * FROM statements")
    for secret in (token, rotated.json["token"]):
        assert secret not in told
        assert secret.rpartition(".")[2] not in told


async def test_what_an_admin_cannot_do(own_plane: ControlPlane) -> None:
    """A second operator of a name, one of no name, oneself; each in words."""
    taken = await call(own_plane, "POST", ALL, body={"name": "alice", "role": "viewer"})
    assert (taken.status, "`rotate` gives a new token" in taken.json["detail"]) == (409, True)
    tied = await call(
        own_plane, "POST", ALL, body={"name": "tied", "role": "viewer", "person": PERSON}
    )
    assert (tied.status, "statement level" in tied.json["detail"]) == (409, True)
    wrong = await call(
        own_plane,
        "POST",
        ALL,
        body={"name": "Al:ice", "role": "x", "expires_at": "2020-01-01T00:00Z"},
    )
    assert {each["pointer"] for each in wrong.json["errors"]} == {"/expires_at", "/name", "/role"}
    for name in ("nobody", "No:body", "alise"):
        for method, template in (("GET", ONE), ("POST", ROTATE), ("DELETE", ONE)):
            missing = await call(own_plane, method, template, name)
            assert missing.status == 404, (name, method)
    similar = await call(own_plane, "DELETE", ONE, "alise")
    assert "did you mean alice?" in similar.json["detail"]
    oneself = await call(own_plane, "DELETE", ONE, "root")
    assert (oneself.status, "nobody removes themselves" in oneself.json["detail"]) == (409, True)
    refused = await call(own_plane, "GET", ALL, operator="bob")
    assert refused.status == 403


async def test_a_change_of_an_operator_may_name_what_was_seen(own_plane: ControlPlane) -> None:
    """A use of the token changes nothing of that; a rotation does."""
    seen = (await call(own_plane, "GET", ONE, "eve")).headers["ETag"]
    await own_plane.client("eve").list()
    again = (await call(own_plane, "GET", ONE, "eve")).headers["ETag"]
    assert again == seen
    rotated = await call(own_plane, "POST", ROTATE, "eve", headers={"If-Match": seen})
    assert rotated.status == 200
    for method, template in (("POST", ROTATE), ("DELETE", ONE)):
        late = await call(own_plane, method, template, "eve", headers={"If-Match": seen})
        assert (late.status, "issued by root" in late.json["detail"]) == (412, True)
    tag = rotated.headers["ETag"]
    assert (await call(own_plane, "DELETE", ONE, "eve", headers={"If-Match": tag})).status == 204


async def test_the_last_use_is_written_beside_the_calls(
    own_plane: ControlPlane, database: Database
) -> None:
    """Of whoever called, within seconds; once a minute at most. No call needs the table."""
    for _ in range(3):
        await own_plane.client("alice").list()

    async def is_written() -> bool:
        return (await listed(own_plane))["alice"]["last_used_at"] is not None

    await eventually(is_written)
    operators = await listed(own_plane)
    assert operators["bob"]["last_used_at"] is None
    first = database.sql("SELECT used_at FROM operator_uses WHERE name = 'alice'")
    await own_plane.client("alice").list()
    await own_plane.client("bob").list()

    async def has_bob() -> bool:
        return (await listed(own_plane))["bob"]["last_used_at"] is not None

    await eventually(has_bob)
    assert database.sql("SELECT used_at FROM operator_uses WHERE name = 'alice'") == first
    told = orjson.loads(own_plane.run("operators", "list", "--json"))
    assert {each["name"] for each in told if each["last_used_at"]} >= {"alice", "bob"}
    assert "LAST USED" in own_plane.run("operators", "list", "--wide")
    database.sql("DROP TABLE operator_uses")
    assert "LAST USED" not in own_plane.run("operators", "list", "--wide")
    assert (await listed(own_plane))["alice"]["last_used_at"] is None
    assert (await own_plane.client("alice").call("GET", "/readyz")).status == 200


async def test_rows_that_are_not_believed_are_listed_and_may_be_removed(
    own_plane: ControlPlane, database: Database
) -> None:
    """Also one that was deleted, which only the log names."""
    database.sql("DELETE FROM statements WHERE subject = 'operator/alice'")
    database.sql(
        "INSERT INTO statements (subject, type, key_id, payload, signature, generation)"
        " SELECT 'operator/mallory', type, key_id, payload, signature, generation"
        " FROM statements WHERE subject = 'operator/root'"
    )
    operators = await listed(own_plane)
    assert set(operators) == {"alice", "bob", "eve", "mallory", "root"}
    assert "vanished" in operators["alice"]["problem"]
    assert operators["mallory"]["role"] is None
    for name in ("alice", "mallory"):
        assert (await call(own_plane, "GET", ONE, name)).json["problem"]
        assert (await call(own_plane, "POST", ROTATE, name)).status == 404
        assert (await call(own_plane, "DELETE", ONE, name)).status == 204
    assert set(await listed(own_plane)) == {"bob", "eve", "root"}
    again = await call(own_plane, "POST", ALL, body={"name": "alice", "role": "viewer"})
    assert again.status == 201


async def test_where_a_second_approver_is_required_one_admin_is_not_two_people(
    start_plane: StartPlane,
) -> None:
    """Neither by a new operator, nor by a token of another; viewers and oneself are no harm."""
    plane = await start_plane({"CONTROL_PLANE_REQUIRE_SECOND_APPROVER": "true"})
    for role in ("connector", "approver", "admin"):
        refused = await call(plane, "POST", ALL, body={"name": f"my-{role}", "role": role})
        assert (refused.status, "statement key" in refused.json["detail"]) == (409, True)
    for name in ("alice", "bob"):
        refused = await call(plane, "POST", ROTATE, name)
        assert (refused.status, "statement key" in refused.json["detail"]) == (409, True)
    tied = await call(plane, "POST", ROTATE, "root", {"person": PERSON})
    assert tied.status == 409
    viewer = await call(plane, "POST", ALL, body={"name": "watcher", "role": "viewer"})
    assert viewer.status == 201
    assert (await call(plane, "POST", ROTATE, "eve")).status == 200
    assert (await call(plane, "DELETE", ONE, "alice")).status == 204
    own = await call(plane, "POST", ROTATE, "root")
    assert own.status == 200
    plane.tokens["root"] = own.json["token"]
    assert set(await listed(plane)) == {"bob", "eve", "root", "watcher"}
