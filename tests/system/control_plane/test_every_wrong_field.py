"""Everything that is wrong is said at once: across fields, within one, and in a query beside."""

from typing import Any

import pytest

from tests.support.control_plane import ControlPlane, Json
from tests.support.simulators.google import ServiceAccount

CANARY = "canary-in-a-wrong-field"


async def problems(
    plane: ControlPlane, method: str, path: str, body: Json
) -> list[tuple[str, str]]:
    """Return every pointer or parameter that is refused, with what is wrong."""
    answer = await plane.client("root").call(method, path, body)
    assert (answer.status, CANARY.encode() in answer.body) == (422, False), answer.body
    return [
        (error.get("pointer") or error.get("parameter", ""), error["detail"])
        for error in answer.json["errors"]
    ]


@pytest.mark.parametrize(
    "path", ["/v1/connections?check=maybe&chek=true", "/v1/connection-checks?x=1"]
)
async def test_a_request_is_corrected_in_one_round(plane: ControlPlane, path: str) -> None:
    """Host, realm, user name and token are each wrong in several ways, and the query too."""
    found = await problems(plane, "POST", path, {
        "host": f"http://{CANARY}@foo_bar:99999/x?y",
        "provider": "static",
        "username": f"{CANARY}:\n",
        "token": f"{CANARY}\n" * 1000,
        "repositories": ["A", "b/**c"] + ["a"] * 300,
        "auth_realms": [f"http://{CANARY}@a_b:0/#x y"],
        "ca_certificate": "-----BEGIN PRIVATE KEY-----\n" * 2500,
        "plain_htp": True,
    })  # fmt: skip
    count = {name: [each for each, _ in found].count(name) for name, _ in found}
    assert count == {
        **({"check": 1, "chek": 1} if "chek" in path else {"x": 1}),
        "/host": 6,
        "/username": 2,
        "/token": 2,
        "/repositories": 1,
        "/repositories/0": 1,
        "/repositories/1": 1,
        "/auth_realms/0": 6,
        "/ca_certificate": 2,
        "/plain_htp": 1,
    }
    host = " ".join(detail for name, detail in found if name == "/host")
    for word in ("plain_http", "query", "user name", "1 to 65535", "'-'", "path"):
        assert word in host


async def test_a_key_of_google_is_wrong_in_every_field(plane: ControlPlane) -> None:
    """The object's own fields are named, and a host that is not Google's."""
    key = ServiceAccount.create().key_json(
        type="user", client_email=CANARY, project_id="_", universe_domain=CANARY, extra=CANARY
    )
    body = {"host": "a_b", "provider": "google_service_account", "service_account_key": key}
    found = dict(await problems(plane, "POST", "/v1/connections", body))
    assert found.keys() == {"/host", "/service_account_key"}
    for name in ("type", "client_email", "project_id", "universe_domain", "fields that no"):
        assert name in found["/service_account_key"]


@pytest.mark.parametrize(
    "host", ["123456789012.dkr.ecr.eu-central-1.amazonaws.com", "ghcr.io", "a_b"]
)
async def test_a_role_is_looked_at_whatever_the_host(plane: ControlPlane, host: str) -> None:
    """Its form does not depend on the host; account and partition are both held against it."""
    body: dict[str, Any] = {"host": host, "provider": "aws_ecr", "external_id": "x"}
    found = await problems(plane, "POST", "/v1/connections", body | {"role_arn": CANARY})
    wrong_host = [] if "amazonaws" in host else ["/host"]
    assert [name for name, _ in found] == [*wrong_host, "/role_arn", "/external_id"]
    if not wrong_host:
        other = "arn:aws-cn:iam::210987654321:role/pull"
        found = await problems(plane, "POST", "/v1/connections", body | {"role_arn": other})
        assert [name for name, _ in found] == ["/role_arn", "/role_arn", "/external_id"]


async def test_an_edit_is_corrected_in_one_round(plane: ControlPlane, host: str) -> None:
    """What cannot be read and what needs the secret again; also of a field that is both."""
    view = await plane.client("alice").connect(host, username="robot", token="x")
    path = f"/v1/connections/{view['id']}"
    patch = {
        "host": host,
        "plain_http": True,
        "allowed_networks": ["10.0.0.1/8"],
        "fleets": [""],
        "stauts": "approved",
    }
    found = await problems(plane, "PATCH", f"{path}?check=x", patch)
    assert sorted(name for name, _ in found) == [
        "/allowed_networks/0", "/fleets/0", "/host", "/plain_http", "/stauts", "/token", "check",
    ]  # fmt: skip
    assert "plain_http, allowed_networks" in dict(found)["/token"]
    found = await problems(plane, "PUT", f"{path}/credential?x=1", {"usernam": "a", "fleets": []})
    assert sorted(name for name, _ in found) == ["/fleets", "/token", "/usernam", "x"]


async def test_other_calls_are_corrected_in_one_round(plane: ControlPlane, host: str) -> None:
    """Approvals, revocations, devices, lists."""
    view = await plane.client("alice").connect(host)
    approve = f"/v1/connections/{view['id']}/approve?x=1"
    found = await problems(
        plane, "POST", approve, {"fingerprint": "x", "expires_at": "now", "y": 1}
    )
    assert [name for name, _ in found] == ["x", "/fingerprint", "/expires_at", "/y"]
    revoke = f"/v1/connections/{view['id']}/revoke?x=1"
    found = await problems(plane, "POST", revoke, {"reason": "a\nb", "y": 1})
    assert [name for name, _ in found] == ["x", "/reason", "/y"]
    devices = {"device": "a b", "serial": "x", "issuer": "y", "reason": "\n", "z": 1}
    found = await problems(plane, "POST", "/v1/device-revocations?x=1", devices)
    assert sorted({name for name, _ in found}) == [
        "/device", "/issuer", "/reason", "/serial", "/z", "x",
    ]  # fmt: skip
    for query, names in (
        ("/v1/device-revocations?device=a%20b&serial=x&issuer=y&limit=0&id=z&q=1",
         ["device", "id", "issuer", "limit", "q", "serial"]),
        ("/v1/audit?after=x&limit=0&cursor=y&q=1", ["after", "cursor", "limit", "q"]),
    ):  # fmt: skip
        answer = await plane.client("root").call("GET", query)
        assert sorted({error["parameter"] for error in answer.json["errors"]}) == names
