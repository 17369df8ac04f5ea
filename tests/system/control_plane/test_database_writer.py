"""What somebody who can write every byte of the database does not get."""

import base64

import orjson
import pytest

from deploy.dev.product import CommandFailedError
from tests.support.control_plane import ControlPlane, Json, approved_connection
from tests.support.database import Database


@pytest.fixture
def tampered(own_plane: ControlPlane, database: Database) -> Database:
    """The database of `own_plane`, written to as its superuser."""
    assert own_plane.owner_url == database.superuser_url
    return database


async def is_let_in(plane: ControlPlane, name: str) -> bool:
    """Tell whether an operator's token is good."""
    return (await plane.client(name).call("GET", "/v1/connections")).status == 200


def why_denied(plane: ControlPlane) -> str:
    """Return the reason of the newest denial in the log."""
    return str([line["reason"] for line in plane.log_lines if line["event"] == "login denied"][-1])


CHANGES = (
    "payload = replace(encode(payload, 'escape'), 'viewer', 'admin')::bytea",
    "signature = set_byte(signature, 0, get_byte(signature, 0) # 1)",
    "key_id = '0000000000000000'",
    "type = 'operator-removal/1'",
    "subject = 'operator/eva'",
    "(payload, signature) = (SELECT payload, signature FROM kept WHERE subject = 'operator/root')",
)


async def test_a_changed_operator_is_let_in_no_longer(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """Any byte that matters is signed, and bound to its subject."""
    tampered.sql("CREATE TABLE kept AS SELECT * FROM statements")
    for change in CHANGES:
        assert await is_let_in(own_plane, "eve")
        tampered.sql(f"UPDATE statements SET {change} WHERE subject = 'operator/eve'")
        assert not await is_let_in(own_plane, "eve"), change
        assert await is_let_in(own_plane, "root")
        tampered.sql("DELETE FROM statements; INSERT INTO statements SELECT * FROM kept")
    tampered.sql("DELETE FROM statements WHERE subject = 'operator/eve'")
    assert not await is_let_in(own_plane, "eve")


async def test_columns_are_projections(own_plane: ControlPlane, tampered: Database) -> None:
    """A huge unsigned generation changes nothing, and is not built upon."""
    view = await approved_connection(own_plane, "registry.example")
    tampered.sql(f"UPDATE statements SET generation = {2**62}")
    assert await is_let_in(own_plane, "eve")
    revoked = await own_plane.client("bob").revoke(view["id"])
    assert view["generation"] < revoked["generation"] < 2**53


async def test_an_inserted_operator_is_not_let_in(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """A row copied under another name logs nobody in."""
    tampered.sql(
        "INSERT INTO statements (subject, type, key_id, payload, signature, generation)"
        " SELECT 'operator/mallory', type, key_id, payload, signature, generation"
        " FROM statements WHERE subject = 'operator/root'"
    )
    token = own_plane.tokens["root"].replace("rfo_root.", "rfo_mallory.")
    answer = await own_plane.client(None, token=token).call("GET", "/v1/connections")
    assert answer.status == 401
    assert why_denied(own_plane) == "its statement is about another subject"
    listed = orjson.loads(own_plane.run("operators", "list", "--json"))
    assert [each["name"] for each in listed if each["problem"]] == ["mallory"]


async def test_a_rotated_token_put_back_is_not_let_in(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """The signed log names a newer generation, also to a process that remembers nothing."""
    tampered.sql("CREATE TABLE kept AS SELECT * FROM statements WHERE subject = 'operator/alice'")
    own_plane.run("operators", "rotate", "alice")
    tampered.sql("DELETE FROM statements WHERE subject = 'operator/alice'")
    tampered.sql("INSERT INTO statements SELECT * FROM kept")
    await own_plane.restart()
    assert not await is_let_in(own_plane, "alice")
    assert why_denied(own_plane) == "an older statement was put back in the database"


async def test_a_removed_operator_is_not_let_in_by_a_column_of_the_log(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """Her old row is put back, and the entry of her removal says in a column that it is of another.

    A process that starts then has seen nothing of her; the chain of the log alone tells.
    """
    tampered.sql("CREATE TABLE kept AS SELECT * FROM statements WHERE subject = 'operator/bob'")
    own_plane.run("operators", "remove", "bob")
    await own_plane.client("alice").connect("registry.example")
    tampered.sql(
        "DELETE FROM statements WHERE subject = 'operator/bob';"
        "INSERT INTO statements SELECT * FROM kept;"
        "UPDATE audit_entries SET about = 'operator/nobody' WHERE action = 'operator.remove'"
    )
    await own_plane.restart()
    assert not await is_let_in(own_plane, "bob")
    assert why_denied(own_plane) == "an older statement was put back in the database"
    assert await is_let_in(own_plane, "alice")
    with pytest.raises(CommandFailedError, match="column about is not what the signed log says"):
        own_plane.run("audit", "verify")


async def test_a_log_rolled_back_with_it_is_noticed_by_a_running_process(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """What it has verified once, it does not unlearn."""
    tampered.sql("CREATE TABLE kept AS SELECT * FROM statements WHERE subject = 'operator/alice'")
    token = own_plane.run("operators", "rotate", "alice").strip()
    rotated = own_plane.client(None, token=token)
    assert (await rotated.call("GET", "/v1/connections")).status == 200
    tampered.sql(
        "DELETE FROM audit_entries WHERE action = 'operator.rotate';"
        "DELETE FROM statements WHERE subject = 'operator/alice';"
        "INSERT INTO statements SELECT * FROM kept"
    )
    assert not await is_let_in(own_plane, "alice")


async def test_a_pending_connection_cannot_be_dressed_up_as_approved(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """Status columns approve nothing, nor does another connection's approval."""
    await approved_connection(own_plane, "other.example")
    view = await own_plane.client("alice").connect("registry.example")
    tampered.sql(
        f"UPDATE connections SET approved_revision = 1 WHERE id = '{view['id']}';"
        "INSERT INTO statements (subject, type, key_id, payload, signature, generation)"
        f" SELECT 'connection/{view['id']}', type, key_id, payload, signature, generation"
        " FROM statements WHERE subject LIKE 'connection/%'"
    )
    shown = await own_plane.client("eve").show(view["id"])
    assert shown["status"] == "pending"
    assert "not in the audit log" in shown["problem"] or "another subject" in shown["problem"]
    assert len(await own_plane.client("eve").list()) == 2


async def test_an_approval_changed_or_gone_is_shown_as_such(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """The list goes on, the connection is not called approved, and it can be revoked."""
    one = await approved_connection(own_plane, "one.example")
    two = await approved_connection(own_plane, "two.example")
    tampered.sql(
        "UPDATE statements SET payload = payload || ' '::bytea"
        f" WHERE subject = 'connection/{one['id']}';"
        f"DELETE FROM statements WHERE subject = 'connection/{two['id']}'"
    )
    shown = {view["host"]: view for view in await own_plane.client("eve").list()}
    assert shown["one.example"]["status"] == shown["two.example"]["status"] == "pending"
    assert "the signature does not hold" in shown["one.example"]["problem"]
    assert "vanished" in shown["two.example"]["problem"]
    for view in (one, two):
        assert (await own_plane.client("bob").revoke(view["id"]))["status"] == "revoked"


async def test_a_revocation_is_not_undone_by_putting_the_approval_back(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """Nor is it shown as undone."""
    view = await approved_connection(own_plane, "registry.example")
    subject = f"connection/{view['id']}"
    tampered.sql(f"CREATE TABLE kept AS SELECT * FROM statements WHERE subject = '{subject}'")
    await own_plane.client("bob").revoke(view["id"])
    tampered.sql(
        f"DELETE FROM statements WHERE subject = '{subject}';"
        "INSERT INTO statements SELECT * FROM kept;"
        "UPDATE connections SET revoked_at = NULL"
    )
    await own_plane.restart()
    shown = await own_plane.client("eve").show(view["id"])
    assert shown["status"] != "approved"
    assert "an older statement was put back" in shown["problem"]


def planted(document: Json, **changes: object) -> str:
    """Return the SQL text of a changed document's bytes."""
    changed = orjson.dumps(document | changes, option=orjson.OPT_SORT_KEYS)
    return f"decode('{base64.b64encode(changed).decode()}', 'base64')"


CHANGED_DOCUMENTS: tuple[Json, ...] = (
    {"host": "evil.example"},
    {"connected_by": "bob"},
    {"repositories": ["evil.example"]},
    {"auth_realms": ["https://evil.example/token"]},
)


async def test_a_planted_draft_is_not_shown_and_not_approved(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """What an approver sees was made by who is said to have made it."""
    view = await own_plane.client("alice").connect("registry.example")
    bob = own_plane.client("bob")
    document = orjson.loads(
        tampered.sql("SELECT convert_from(document, 'UTF8') FROM connection_revisions")
    )
    for changes in CHANGED_DOCUMENTS:
        tampered.sql(f"UPDATE connection_revisions SET document = {planted(document, **changes)}")
        shown = await bob.show(view["id"])
        assert "its draft is not believed" in shown["problem"]
        assert "evil.example" not in str(shown)
        await bob.approve(view, expect=409)
        sha256 = tampered.sql("SELECT encode(sha256(document), 'hex') FROM connection_revisions")
        problem = await bob.approve(view["id"], f"sha256:{sha256}", expect=409)
        assert "not believed" in problem["detail"]
    assert any(line["event"] == "connection not believed" for line in own_plane.log_lines)


async def test_another_sealed_secret_is_not_approved(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """The document names the sealed bytes by their digest."""
    alice = own_plane.client("alice")
    view = await alice.connect("registry.example", username="robot", token="one")
    await alice.connect("other.example", username="robot", token="two")
    tampered.sql(
        "UPDATE connection_revisions t SET sealed_secret = f.sealed_secret"
        " FROM connection_revisions f WHERE t.connection_id <> f.connection_id"
    )
    problem = await own_plane.client("bob").approve(view, expect=409)
    assert "sealed secret" in problem["detail"]


async def test_a_row_moved_to_another_place_is_not_approved(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """Two connections of one place would serve side by side."""
    view = await own_plane.client("alice").connect("registry.example")
    tampered.sql("UPDATE connections SET host = 'moved.example'")
    await own_plane.client("bob").approve(view, expect=409)


async def test_a_place_that_a_signed_approval_has_is_not_given_away_by_a_column(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """Two connections of one place would serve side by side: neither connected nor approved."""
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    first = await alice.connect("registry.example:5000", repository_prefix="team")
    await alice.connect("registry.example:5000")  # another place of the host
    tampered.sql(f"UPDATE connections SET host = 'moved.example' WHERE id = '{first['id']}'")
    second = await alice.connect("registry.example:5000", repository_prefix="team")
    tampered.sql(
        f"UPDATE connections SET revoked_at = now() WHERE id = '{second['id']}';"
        f"UPDATE connections SET host = 'registry.example:5000' WHERE id = '{first['id']}'"
    )
    await bob.approve(first)
    for hidden in ("revoked_at = now()", "host = 'moved.example'", "repository_prefix = 'x'"):
        tampered.sql(f"UPDATE connections SET {hidden} WHERE id = '{first['id']}'")
        problem = await alice.connect("registry.example:5000", repository_prefix="team", expect=409)
        assert problem["conflict"]["id"] == first["id"]
        shown = {
            name: problem["conflict"][name] for name in ("host", "repository_prefix", "status")
        }
        assert list(shown.values()) == ["registry.example:5000", "team", "approved"]
        tampered.sql(
            "UPDATE connections SET revoked_at = NULL, host = 'registry.example:5000',"
            f" repository_prefix = 'team' WHERE id = '{first['id']}'"
        )
    tampered.sql(
        f"UPDATE connections SET revoked_at = now() WHERE id = '{first['id']}';"
        f"UPDATE connections SET revoked_at = NULL WHERE id = '{second['id']}'"
    )
    problem = await bob.approve(second, expect=409)
    assert problem["conflict"]["id"] == first["id"]
    await bob.revoke(first["id"])
    await bob.approve(second)


async def test_a_revision_of_the_highest_number_is_said_in_words(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """Nothing can be numbered after it; the connection can be ended."""
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    view = await alice.connect("registry.example")
    await bob.approve(view)
    tampered.sql(
        "INSERT INTO connection_revisions SELECT connection_id, 2147483647, document,"
        " sealed_secret, made_by, made_at, audit_sequence FROM connection_revisions"
    )
    problem = await alice.edit(view["id"], repositories=["team/app"], expect=409)
    assert "number was changed in the database" in problem["detail"]
    assert (await bob.revoke(view["id"]))["status"] == "revoked"


async def test_an_act_needs_a_log_that_it_can_follow(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """A damaged end of the audit chain stops acts, loudly, and reads go on."""
    tampered.sql(
        "UPDATE audit_entries SET payload = payload || ' '::bytea"
        " WHERE sequence = (SELECT max(sequence) FROM audit_entries)"
    )
    answer = await own_plane.client("alice").call(
        "POST", "/v1/connections?check=false", {"host": "a.example", "provider": "static"}
    )
    assert answer.status == 503
    assert "newest audit entry" in answer.json["detail"]
    assert await is_let_in(own_plane, "alice")
    assert tampered.sql("SELECT count(*) FROM connections") == "0"


async def test_vanished_audit_entries_stop_acts(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """The chain's end that this process has seen cannot be cut off under it."""
    alice = own_plane.client("alice")
    await alice.connect("registry.example")
    tampered.sql(
        "BEGIN; UPDATE connections SET draft_revision = NULL;"
        "DELETE FROM connection_revisions;"
        "DELETE FROM audit_entries WHERE action = 'connection.connect'; COMMIT"
    )
    problem = await alice.connect("other.example", expect=503)
    assert "vanished" in problem["detail"]
