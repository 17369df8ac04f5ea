"""Devices and certificates are revoked, listed, lifted; each act is signed, numbered, audited."""

import asyncio
import uuid
from urllib.parse import urlencode

import asyncpg
import pytest

from shared.keys import load_statement_public_keys
from shared.statement import DeviceLifting, DeviceRevocation, StoredStatement, verify
from tests.support.control_plane import ControlPlane, Json

PATH = "/v1/device-revocations"


@pytest.fixture
def device() -> str:
    """A device that no other test revokes."""
    return f"spiffe://example.com/fleet/line-a/device/press-{uuid.uuid4().hex}"


@pytest.fixture
def serial() -> str:
    """A serial number that no other test revokes, in its one form."""
    return f"{uuid.uuid4().int:x}"


async def published(plane: ControlPlane, subject: str) -> DeviceRevocation | DeviceLifting:
    """Return the statement that facades read about a subject."""
    connection = await asyncpg.connect(plane.owner_url)
    try:
        row = await connection.fetchrow(
            "SELECT type, key_id, payload, signature FROM facade_statements WHERE subject = $1",
            subject,
        )
    finally:
        await connection.close()
    assert row is not None
    keys = load_statement_public_keys(plane.keys.statement_public.read_bytes())
    statement = verify(StoredStatement(**dict(row)), keys)
    assert isinstance(statement, DeviceRevocation | DeviceLifting)
    assert statement.subject == subject
    return statement


async def test_a_device_is_revoked_and_that_is_lifted(plane: ControlPlane, device: str) -> None:
    """What facades read is signed and numbered upwards; the tombstone stays."""
    bob = plane.client("bob")
    answer = await bob.call("POST", PATH, {"device": device, "reason": "stolen"})
    view = answer.json
    assert answer.status == 201
    assert answer.headers["Location"] == f"{PATH}/{view['id']}"
    assert (view["device"], view["serial"], view["issuer"]) == (device, None, None)
    assert (view["reason"], view["revoked_by"], view["problem"]) == ("stolen", "bob", None)
    revocation = await published(plane, f"device/{device}")
    assert isinstance(revocation, DeviceRevocation)
    assert str(revocation.revocation_id) == view["id"]
    assert (revocation.reason, revocation.generation) == ("stolen", view["generation"])
    assert (await bob.call("GET", f"{PATH}/{view['id']}")).json == view
    assert view in await bob.device_revocations()
    await bob.lift(view["id"])
    lifting = await published(plane, f"device/{device}")
    assert isinstance(lifting, DeviceLifting)
    assert (lifting.lifted_by, lifting.revocation_id) == ("bob", revocation.revocation_id)
    assert lifting.generation > revocation.generation
    assert (await bob.call("GET", f"{PATH}/{view['id']}")).status == 404
    assert view["id"] not in {each["id"] for each in await bob.device_revocations()}


async def test_a_lifted_device_is_revoked_anew(plane: ControlPlane, device: str) -> None:
    """Under another id, which alone lifts it."""
    bob = plane.client("bob")
    first = await bob.revoke_device(device=device)
    await bob.lift(first["id"])
    second = await bob.revoke_device(device=device)
    assert second["id"] != first["id"]
    assert second["generation"] > first["generation"]
    await bob.lift(first["id"], expect=404)
    assert isinstance(await published(plane, f"device/{device}"), DeviceRevocation)
    await bob.lift(second["id"])
    await bob.lift(second["id"], expect=404)


async def test_what_is_revoked_stays_as_it_was(plane: ControlPlane, device: str) -> None:
    """Whoever repeats a call that may have been lost learns that it holds."""
    bob, root = plane.client("bob"), plane.client("root")
    first = await bob.revoke_device(device=device, reason="stolen")
    entries = [
        each for each in await plane.client("eve").audit() if each["about"] == f"device/{device}"
    ]
    again = await root.call("POST", PATH, {"device": device, "reason": "again"})
    assert (again.status, again.json) == (200, first)
    assert again.headers["Location"] == f"{PATH}/{first['id']}"
    later = [
        each for each in await plane.client("eve").audit() if each["about"] == f"device/{device}"
    ]
    assert later == entries
    assert (await published(plane, f"device/{device}")).generation == first["generation"]


async def test_eight_at_once_revoke_once(plane: ControlPlane, device: str) -> None:
    """Each is told that it holds, and it is one revocation."""
    bob = plane.client("bob")
    answers = await asyncio.gather(*(bob.call("POST", PATH, {"device": device}) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [200] * 7 + [201]
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.parametrize(
    "spell",
    [
        lambda serial: serial.upper(),
        lambda serial: f"0x{serial}",
        lambda serial: f"{serial:0>40}",
        lambda serial: ":".join(f"{serial:0>34}"[at : at + 2] for at in range(0, 34, 2)),
        lambda serial: " ".join(f"{serial:0>34}"[at : at + 2] for at in range(0, 34, 2)),
    ],
)
async def test_a_serial_has_one_form_however_it_is_spelled(
    plane: ControlPlane, serial: str, spell: object
) -> None:
    """Facades compare texts, and a revocation of nobody would be a false comfort."""
    assert callable(spell)
    bob = plane.client("bob")
    view = await bob.revoke_device(serial=spell(serial))
    assert view["serial"] == serial
    assert (await published(plane, f"certificate/{serial}/")).serial == serial
    assert (await bob.revoke_device(serial=serial, expect=200))["id"] == view["id"]


async def test_a_serial_of_one_issuer_is_not_that_of_all(plane: ControlPlane, serial: str) -> None:
    """They are revoked and lifted apart; an issuer has one form, too."""
    bob = plane.client("bob")
    of_all = await bob.revoke_device(serial=serial)
    of_one = await bob.revoke_device(serial=serial, issuer="cn=Device CA,emailAddress=a@b")
    assert of_one["issuer"] == "CN=Device CA,1.2.840.113549.1.9.1=a@b"
    same = {"serial": serial, "issuer": "CN=Device CA,1.2.840.113549.1.9.1=a@b"}
    assert (await bob.revoke_device(**same, expect=200))["id"] == of_one["id"]
    await bob.lift(of_all["id"])
    subject = f"certificate/{serial}/{of_one['issuer']}"
    assert isinstance(await published(plane, subject), DeviceRevocation)
    assert isinstance(await published(plane, f"certificate/{serial}/"), DeviceLifting)


@pytest.mark.parametrize(
    "body, pointers",
    [
        ({}, ["/device"]),
        ({"reason": "stolen"}, ["/device"]),
        ({"device": None, "serial": None}, ["/device"]),
        ({"device": "press-7", "serial": "abc"}, ["/serial"]),
        ({"device": "press-7", "issuer": "CN=a"}, ["/issuer"]),
        ({"issuer": "CN=a"}, ["/device", "/issuer"]),
        ({"device": ""}, ["/device"]),
        ({"device": 7}, ["/device"]),
        ({"device": "spiffe://Example.com/device/press-7"}, ["/device"]),
        ({"device": "spiffe://example.com/device/../press-7"}, ["/device"]),
        ({"device": "spiffe://example.com"}, ["/device"]),
        ({"device": "press 7"}, ["/device"]),
        ({"device": "press-7\n"}, ["/device"]),
        ({"device": "spiffe://example.com/" + "x" * 2048}, ["/device"]),
        ({"serial": "xyz"}, ["/serial"]),
        ({"serial": "-1"}, ["/serial"]),
        ({"serial": "a:bc"}, ["/serial"]),
        ({"serial": "a" * 129}, ["/serial"]),
        ({"serial": 10}, ["/serial"]),
        ({"serial": "a", "issuer": "O = Example, CN = CA"}, ["/issuer"]),
        ({"serial": "a", "issuer": ""}, ["/issuer"]),
        ({"serial": "a", "issuer": "CN=#0c0161"}, ["/issuer"]),
        ({"serial": "a", "issuer": "CN=" + "x" * 4000}, ["/issuer"]),
        ({"device": "press-7", "reason": "two\nlines"}, ["/reason"]),
        ({"device": "press-7", "reason": "x" * 1001}, ["/reason"]),
        ({"devices": "press-7", "serial": "?"}, ["/devices", "/serial"]),
    ],
)
async def test_what_revokes_nobody_is_refused(
    plane: ControlPlane, body: Json, pointers: list[str]
) -> None:
    """With every wrong field, and nothing done."""
    before = len(await plane.client("eve").audit())
    answer = await plane.client("bob").call("POST", PATH, body)
    assert answer.status == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert sorted(error["pointer"] for error in answer.json["errors"]) == pointers
    assert len(await plane.client("eve").audit()) == before


@pytest.mark.parametrize("form", ["{}.example.com", "PRESS_{}", "spiffe://t/d/{}"])
async def test_each_kind_of_identity_can_be_revoked(plane: ControlPlane, form: str) -> None:
    """A DNS name, a subject's CN, a SPIFFE id."""
    device = form.format(uuid.uuid4().hex)
    assert (await plane.client("bob").revoke_device(device=device))["device"] == device


async def test_both_acts_are_in_the_audit_log(plane: ControlPlane, device: str) -> None:
    """Who did what when, and why; and the log verifies."""
    bob, root = plane.client("bob"), plane.client("root")
    view = await bob.revoke_device(device=device, reason="stolen")
    await root.lift(view["id"])
    entries = [
        each for each in await plane.client("eve").audit() if each["about"] == f"device/{device}"
    ]
    revoked, lifted = entries
    assert (revoked["actor"], revoked["action"]) == ("bob", "device.revoke")
    assert (lifted["actor"], lifted["action"]) == ("root", "device.lift")
    assert revoked["about_generation"] == view["generation"] < lifted["about_generation"]
    assert revoked["details"] == {"revocation": view["id"], "reason": "stolen"}
    assert lifted["details"] == {"revocation": view["id"]}
    plane.run("audit", "verify")


async def test_revocations_come_in_pages(own_plane: ControlPlane) -> None:
    """Each in force on exactly one page, in the order of their making; also after a restart."""
    bob = own_plane.client("bob")
    made = [(await bob.revoke_device(device=f"press-{number}"))["id"] for number in range(6)]
    await bob.lift(made.pop(2))
    await own_plane.restart()
    seen, path = [], f"{PATH}?limit=2"
    while True:
        page = (await bob.call("GET", path)).json
        assert len(page["items"]) <= 2
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        path = f"{PATH}?limit=2&cursor={page['next_cursor']}"
    assert seen == made
    await bob.lift(made[0])


async def test_one_device_or_certificate_is_asked_about(
    plane: ControlPlane, device: str, serial: str
) -> None:
    """Is it revoked, and by which id is that lifted? However it is spelled."""
    bob = plane.client("bob")
    revoked = await bob.revoke_device(device=device)
    of_one = await bob.revoke_device(serial=serial, issuer="CN=CA")

    async def found(**about: str) -> list[Json]:
        page = (await bob.call("GET", f"{PATH}?{urlencode(about)}")).json
        assert page["next_cursor"] is None
        return list(page["items"])

    assert await found(device=device) == [revoked]
    assert await found(device=f"{device}-b") == []
    assert await found(serial=f"0{serial.upper()}", issuer="cn=CA") == [of_one]
    assert await found(serial=serial) == []
    assert await found(serial=serial, any_issuer="true") == [of_one]
    bare = await bob.revoke_device(serial=serial)
    assert await found(serial=serial) == [bare]
    assert await found(serial=serial.upper(), any_issuer="true") == [of_one, bare]
    assert await found(serial=f"{serial}0", any_issuer="true") == []
    await bob.lift(revoked["id"])
    assert await found(device=device) == []


@pytest.mark.parametrize(
    "query, parameter",
    [
        ("device=press%207", "device"),
        ("device=press-7&serial=abc", "serial"),
        ("serial=xyz", "serial"),
        ("serial=abc&issuer=x", "issuer"),
        ("device=press-7&issuer=CN=a", "issuer"),
        ("reason=x", "reason"),
        ("any_issuer=true", "any_issuer"),
        ("serial=abc&issuer=CN=a&any_issuer=true", "any_issuer"),
        ("serial=abc&any_issuer=yes", "any_issuer"),
        ("device=a&device=b", "device"),
    ],
)
async def test_a_wrong_question_is_refused(plane: ControlPlane, query: str, parameter: str) -> None:
    """An empty list would say that nobody is revoked."""
    answer = await plane.client("bob").call("GET", f"{PATH}?{query}")
    assert answer.status == 422
    assert [error["parameter"] for error in answer.json["errors"]] == [parameter]


@pytest.mark.parametrize(
    "ending", [str(uuid.UUID(int=4)), "x", str(uuid.UUID(int=0xABCDEF)).upper()]
)
async def test_what_is_not_revoked_is_not_there(plane: ControlPlane, ending: str) -> None:
    """Neither to be shown nor to be lifted."""
    for method in ("GET", "DELETE"):
        answer = await plane.client("bob").call(method, f"{PATH}/{ending}")
        assert (answer.status, answer.json["status"]) == (404, 404)
