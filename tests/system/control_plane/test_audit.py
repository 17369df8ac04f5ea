"""The audit log: who did what when, chained and signed."""

import orjson
import pytest

from deploy.dev.product import CommandFailedError
from tests.support.control_plane import ControlPlane, approved_connection
from tests.support.database import Database

CANARY = "canary-in-an-audit-entry"


async def test_each_act_is_an_entry_in_a_chain(own_plane: ControlPlane) -> None:
    """Who, what, about what, and each bears the hash of the one before."""
    view = await approved_connection(own_plane, "registry.example", username="robot", token=CANARY)
    await own_plane.client("bob").revoke(view["id"], reason="moved")
    answer = await own_plane.client("eve").call("GET", "/v1/audit?after=4")
    assert CANARY.encode() not in answer.body
    entries = answer.json["items"]
    about = f"connection/{view['id']}"
    assert [(each["actor"], each["action"], each["about"]) for each in entries] == [
        ("alice", "connection.connect", about),
        ("bob", "connection.approve", about),
        ("bob", "connection.revoke", about),
    ]
    assert entries[0]["details"]["fingerprint"] == view["fingerprint"]
    assert entries[1]["about_generation"] == view["generation"]
    assert entries[2]["details"]["reason"] == "moved"
    assert [each["previous"] for each in entries[1:]] == [each["hash"] for each in entries[:-1]]


@pytest.mark.parametrize("following", ["after=", "cursor=", "after=0&cursor="])
async def test_the_log_comes_in_pages(plane: ControlPlane, following: str) -> None:
    """Every entry is on exactly one page; some generated clients send `after=0` as well."""
    eve, seen, path = plane.client("eve"), [], "/v1/audit?limit=3"
    while True:
        page = (await eve.call("GET", path)).json
        seen += [each["sequence"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        path = f"/v1/audit?limit=3&{following}{page['next_cursor']}"
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) > 3


async def test_a_whole_log_verifies(own_plane: ControlPlane) -> None:
    """With the public key alone, and the export can be read line by line."""
    await approved_connection(own_plane, "registry.example")
    own_plane.run("audit", "verify")
    lines = own_plane.run("audit", "export").splitlines()
    assert [orjson.loads(line)["sequence"] for line in lines] == [1, 2, 3, 4, 5, 6]


DAMAGES = {
    "UPDATE audit_entries SET payload = replace(encode(payload, 'escape'), 'alice', 'carol')::bytea"
    " WHERE sequence = 5": "entry 5: not believed",
    "DELETE FROM audit_entries WHERE sequence = 2": "entry 3: does not follow",
    "UPDATE audit_entries t SET payload = f.payload, signature = f.signature FROM audit_entries f"
    " WHERE t.sequence = 2 AND f.sequence = 3": "entry 2: not believed",
    "UPDATE audit_entries SET signature = set_byte(signature, 0, get_byte(signature, 0) # 1)"
    " WHERE sequence = 2": "entry 2: not believed: the signature does not hold",
    "DELETE FROM audit_entries WHERE sequence = 6": "no audit entry",
    "DELETE FROM statements WHERE subject = 'operator/eve'": "its statement has vanished",
    "UPDATE statements SET payload = payload || ' '::bytea"
    " WHERE subject = 'operator/eve'": "operator/eve: its statement is not believed",
}


async def test_a_changed_log_does_not_verify(own_plane: ControlPlane, database: Database) -> None:
    """Changed, cut out, swapped, cut off, or at odds with the statements: said which and why."""
    await approved_connection(own_plane, "registry.example")
    database.sql(
        "CREATE TABLE kept AS SELECT * FROM statements;"
        "CREATE TABLE kept_log AS SELECT * FROM audit_entries"
    )
    for damage, fault in DAMAGES.items():
        database.sql(damage)
        with pytest.raises(CommandFailedError, match="exit 1") as refused:
            own_plane.run("audit", "verify")
        assert fault in str(refused.value), damage
        listed = await own_plane.client("root").call("GET", "/v1/audit")
        assert listed.status == 200
        database.sql(
            "BEGIN; SET CONSTRAINTS ALL DEFERRED;"
            "DELETE FROM statements; INSERT INTO statements SELECT * FROM kept;"
            "DELETE FROM audit_entries; INSERT INTO audit_entries SELECT * FROM kept_log; COMMIT"
        )
    own_plane.run("audit", "verify")


async def test_an_entry_that_is_not_believed_is_listed_as_such(
    own_plane: ControlPlane, database: Database
) -> None:
    """The list goes on, and shows nothing of what it does not believe."""
    database.sql("UPDATE audit_entries SET payload = 'forged'::bytea WHERE sequence = 2")
    answer = await own_plane.client("root").call("GET", "/v1/audit")
    assert answer.json["items"][1] == {
        "sequence": 2,
        "problem": "not believed: the signature does not hold",
    }
    assert b"forged" not in answer.body
