"""What somebody who can write every byte of the database does not get of device revocations."""

import pytest

from control_plane.device_revocations.state import NOT_LISTED
from tests.support.control_plane import ControlPlane, Json
from tests.support.database import Database

PATH = "/v1/device-revocations"
ONE, TWO = "spiffe://example.com/device/one", "spiffe://example.com/device/two"


@pytest.fixture
def tampered(own_plane: ControlPlane, database: Database) -> Database:
    """The database of `own_plane`, written to as its superuser."""
    assert own_plane.owner_url == database.superuser_url
    return database


async def test_an_id_that_leads_to_another_device_lifts_nobody(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """An approver who lifts one device's revocation does not lift another's."""
    bob = own_plane.client("bob")
    one = await bob.revoke_device(device=ONE)
    two = await bob.revoke_device(device=TWO)
    swapped = f"CASE id WHEN '{one['id']}'::uuid THEN '{two['id']}' ELSE '{one['id']}' END::uuid"
    tampered.sql(
        "ALTER TABLE device_revocations DROP CONSTRAINT device_revocations_id_key;"
        f"UPDATE device_revocations SET id = {swapped}"
    )
    for view in (one, two):
        await bob.lift(view["id"], expect=404)
        assert (await bob.call("GET", f"{PATH}/{view['id']}")).status == 404
    shown = await bob.device_revocations()
    assert {(each["id"], each["device"]) for each in shown} == {(one["id"], ONE), (two["id"], TWO)}
    for device, view in ((ONE, one), (TWO, two)):  # asking again mends what ids lead to
        assert await bob.revoke_device(device=device, expect=200) == view
    await bob.lift(one["id"])


async def test_a_planted_revocation_is_shown_as_such_and_not_lifted(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """Nobody signed it. Whatever its subject pretends to be, the list goes on."""
    bob = own_plane.client("bob")
    await bob.revoke_device(device=ONE)
    tampered.sql(
        "INSERT INTO device_revocations (subject, id, revoked_at) SELECT each,"
        " gen_random_uuid(), now() FROM unnest(ARRAY['device/planted', 'certificate/zz/CN=x',"
        " 'certificate/a', 'operator/bob', 'nonsense']) AS each"
    )
    planted = [each for each in await bob.device_revocations() if each["device"] != ONE]
    assert len(planted) == 5
    for view in planted:
        assert "no signed statement" in view["problem"]
        assert view["revoked_by"] is None
        await bob.lift(view["id"], expect=409)
    assert {each["device"] for each in planted} == {"planted", None}


async def test_a_revocation_whose_statement_is_gone_is_revoked_anew(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """Shown as what it is, not lifted, and mended by revoking once more."""
    bob = own_plane.client("bob")
    first = await bob.revoke_device(device=ONE)
    tampered.sql(f"DELETE FROM statements WHERE subject = 'device/{ONE}'")
    (shown,) = await bob.device_revocations()
    assert (shown["id"], shown["device"]) == (first["id"], ONE)
    assert "vanished" in shown["problem"]
    await bob.lift(first["id"], expect=409)
    second = await bob.revoke_device(device=ONE)
    assert second["generation"] > first["generation"]
    assert await bob.device_revocations() == [second]
    own_plane.run("audit", "verify")


OF_ONE = f"(SELECT payload, signature FROM kept WHERE subject = 'device/{ONE}')"
CHANGES = (
    "payload = replace(encode(payload, 'escape'), 'two', 'one')::bytea",
    "signature = set_byte(signature, 0, get_byte(signature, 0) # 1)",
    "type = 'device-lifting/1'",
    f"(payload, signature) = {OF_ONE}",
)


async def test_a_changed_revocation_is_not_believed(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """Any byte that matters is signed, and bound to its subject."""
    bob = own_plane.client("bob")
    await bob.revoke_device(device=ONE)
    view = await bob.revoke_device(device=TWO)
    tampered.sql("CREATE TABLE kept AS SELECT * FROM statements")
    for change in CHANGES:
        assert (await bob.call("GET", f"{PATH}/{view['id']}")).json == view
        tampered.sql(f"UPDATE statements SET {change} WHERE subject = 'device/{TWO}'")
        shown = (await bob.call("GET", f"{PATH}/{view['id']}")).json
        assert (bool(shown["problem"]), shown["revoked_by"]) == (True, None), change
        await bob.lift(view["id"], expect=409)
        tampered.sql("DELETE FROM statements; INSERT INTO statements SELECT * FROM kept")
    assert any(line["event"] == "device revocation not believed" for line in own_plane.log_lines)


async def test_a_revocation_put_back_after_its_lifting_is_not_believed(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """Nor a lifting after the next revocation."""
    bob = own_plane.client("bob")
    subject = f"device/{ONE}"
    view = await bob.revoke_device(device=ONE)
    tampered.sql("CREATE TABLE kept AS SELECT * FROM statements")
    await bob.lift(view["id"])
    tampered.sql(
        f"DELETE FROM statements WHERE subject = '{subject}';"
        f"INSERT INTO statements SELECT * FROM kept WHERE subject = '{subject}';"
        "UPDATE device_revocations SET lifted_at = NULL"
    )
    await own_plane.restart()
    (shown,) = await bob.device_revocations()
    assert shown["problem"] == "an older statement was put back in the database"


async def test_a_revocation_that_is_hidden_still_holds(
    own_plane: ControlPlane, tampered: Database
) -> None:
    """It is listed as such, whatever its columns say; asking again mends its row."""
    bob = own_plane.client("bob")
    view = await bob.revoke_device(device=ONE)
    others = [await bob.revoke_device(serial=f"5e{n}") for n in range(3)]
    hidden = view | {"problem": NOT_LISTED}
    for tampering in (
        "UPDATE device_revocations SET lifted_at = now()",
        "UPDATE device_revocations SET lifted_at = NULL, revoked_at = 'infinity'",
        "UPDATE device_revocations SET revoked_at = '400-01-01 BC'",
    ):
        tampered.sql(f"{tampering} WHERE id = '{view['id']}'")
        assert await bob.device_revocations() == [*others, hidden]
        assert (await bob.call("GET", f"{PATH}/{view['id']}")).json == hidden
    tampered.sql("DELETE FROM device_revocations")
    found, cursor = list[Json](), ""
    while True:
        page = (await bob.call("GET", f"{PATH}?limit=3{cursor}")).json
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(found) == 4
    assert all(each | {"problem": NOT_LISTED} in found for each in (view, *others))
    for query in (f"device={ONE}", f"id={view['id']}"):
        assert (await bob.call("GET", f"{PATH}?{query}")).json["items"] == [hidden]
    await bob.lift(view["id"], expect=404)
    assert await bob.revoke_device(device=ONE, expect=200) == view
    assert view in await bob.device_revocations()
    for each in others:
        assert await bob.revoke_device(serial=each["serial"], expect=200) == each
        await bob.lift(each["id"])
    assert await bob.device_revocations() == [view]
    await bob.lift(view["id"])
    tampered.sql("UPDATE device_revocations SET lifted_at = NULL")
    assert await bob.device_revocations() == []  # for the lifting is signed
    await bob.lift(view["id"], expect=404)


async def test_nothing_of_a_refused_revocation_is_said_again(plane: ControlPlane) -> None:
    """Whatever was pasted into the wrong field is in no answer, log or audit entry."""
    bob, canary = plane.client("bob"), "canary pasted in a hurry"
    for body in (
        {"device": canary},
        {"serial": canary},
        {"serial": "a", "issuer": canary},
        {"device": "press-7", "reason": f"{canary}\n"},
        {"device": "press-7", "token": canary},
    ):
        answer = await bob.call("POST", PATH, body)
        assert answer.status == 422
        assert canary.encode() not in answer.body
    assert canary not in plane.log.read_text() + str(await bob.audit())
