"""What is wrong with a request is said whole, and nothing of it is quoted."""

import asyncio
import json

import pytest

from control_plane.http.http_call import MAX_BODY_BYTES
from tests.support.control_plane import ControlPlane

CANARY = "canary-in-a-bad-request"
PATH = "/v1/connections?check=false"


async def test_every_wrong_field_is_named_at_once(plane: ControlPlane) -> None:
    """One round of corrections is enough."""
    body = {
        "host": "https://user@registry.example",
        "provider": "statik",
        "repository_prefix": "/x",
        "token": f"{CANARY}\n",
        "repositories": ["a", "A", 1],
        "fleets": "line-a",
        "plain_http": "yes",
        "allowed_networks": ["10.0.0.1/8"],
        "ca_certificate": "-----BEGIN PRIVATE KEY-----",
        "auth_realms": ["http://auth.example/"],
        "description": "two\nlines",
        "hosst": CANARY,
    }
    answer = await plane.client("alice").call("POST", PATH, body)
    assert answer.status == 422
    assert {error["pointer"] for error in answer.json["errors"]} == {
        "/host",
        "/provider",
        "/repository_prefix",
        "/token",
        "/username",
        "/repositories/1",
        "/repositories/2",
        "/fleets",
        "/plain_http",
        "/allowed_networks/0",
        "/ca_certificate",
        "/auth_realms/0",
        "/description",
        "/hosst",
    }
    assert CANARY.encode() not in answer.body


@pytest.mark.parametrize(
    "fields, pointer",
    [
        ({"username": "robot"}, "/token"),
        ({"token": "secret"}, "/username"),
        ({"provider": None}, "/provider"),
        ({"host": None}, "/host"),
        ({"host": "①②⑦.0.0.1"}, "/host"),
        ({"host": "registry.example/team"}, "/host"),
        ({"username": "a:b", "token": "x"}, "/username"),
        ({"username": "robot", "token": "x" * 20_000}, "/token"),
        ({"username": "robot", "token": {"value": CANARY}}, "/token"),
        ({"plain_http": True, "ca_certificate": "x"}, "/ca_certificate"),
    ],
)
async def test_what_cannot_be_connected_is_refused(
    plane: ControlPlane, host: str, fields: dict[str, object], pointer: str
) -> None:
    """Each with the field that is to be corrected."""
    body = {"host": host, "provider": "static"} | fields
    answer = await plane.client("alice").call("POST", PATH, body)
    assert answer.status == 422
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert CANARY.encode() not in answer.body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"\xff\xfe",
        b'{"token": "' + CANARY.encode() + b'",}',
        b"[" * 100_000,
    ],
)
async def test_an_unreadable_body_is_not_echoed(plane: ControlPlane, content: bytes) -> None:
    """A JSON parser's message may hold the body; ours does not."""
    answer = await plane.client("alice").call("POST", PATH, content=content)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert CANARY.encode() not in answer.body


async def test_bodies_are_bounded(plane: ControlPlane, host: str) -> None:
    """Memory is not the caller's."""
    body = json.dumps({"host": host, "provider": "static", "x": "x" * MAX_BODY_BYTES}).encode()
    answer = await plane.client("alice").call("POST", PATH, content=body)
    assert (answer.status, answer.json["status"]) == (413, 413)
    assert str(MAX_BODY_BYTES) in answer.json["detail"]


async def test_other_content_is_not_read(plane: ControlPlane) -> None:
    """JSON is said to be JSON, and is not compressed."""
    alice = plane.client("alice")
    for headers in ({"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}):
        answer = await alice.call("POST", PATH, content=b"{}", headers=headers)
        assert (answer.status, answer.json["status"]) == (415, 415)
        assert "application/json" in answer.json["detail"]


@pytest.mark.parametrize(
    "method, path, allow",
    [
        ("PUT", "/v1/connections", "GET,POST"),
        ("DELETE", "/v1/audit", "GET"),
        ("POST", "/healthz", "GET"),
    ],
)
async def test_other_methods_are_refused(
    plane: ControlPlane, method: str, path: str, allow: str
) -> None:
    """With the ones that are there."""
    answer = await plane.client("alice").call(method, path)
    assert (answer.status, answer.json["status"]) == (405, 405)
    assert answer.headers["Allow"] == allow


@pytest.mark.parametrize(
    "path, parameter",
    [
        ("/v1/connections?limit=0", "limit"),
        ("/v1/connections?limit=201", "limit"),
        ("/v1/connections?limit=x", "limit"),
        ("/v1/connections?limit=%D9%A3", "limit"),
        ("/v1/connections?cursor=x", "cursor"),
        ("/v1/connections?cursor=MjAyMC0wMS0wMSB4", "cursor"),
        ("/v1/connections?lmit=1", "lmit"),
        ("/v1/connections?limit=1&limit=2", "limit"),
        ("/v1/audit?after=-1", "after"),
        ("/v1/audit?after=9223372036854775808", "after"),
        ("/v1/audit?after=1&cursor=1", "cursor"),
    ],
)
async def test_a_wrong_parameter_is_named(plane: ControlPlane, path: str, parameter: str) -> None:
    """Also one that nobody knows: a misspelt filter must not list everything."""
    answer = await plane.client("eve").call("GET", path)
    assert answer.status == 422
    assert [error["parameter"] for error in answer.json["errors"]] == [parameter]


@pytest.mark.parametrize(
    "body",
    [{}, {"fingerprint": "x"}, {"fingerprint": f"sha256:{'A' * 64}"}, {"fingerprint": 1}],
)
async def test_an_approval_names_a_fingerprint(
    plane: ControlPlane, host: str, body: dict[str, object]
) -> None:
    """Nobody approves without having looked."""
    view = await plane.client("alice").connect(host)
    path = f"/v1/connections/{view['id']}/approve"
    answer = await plane.client("bob").call("POST", path, body)
    assert answer.status == 422
    assert answer.json["errors"][0]["pointer"] == "/fingerprint"


async def test_a_body_that_fits_can_always_be_approved(plane: ControlPlane, host: str) -> None:
    """A statement that no reader could parse again must not come into being."""
    quotes = [f"{chr(34) * 248}{number:03}" for number in range(256)]  # each is escaped twice
    refused = await plane.client("alice").connect(host, fleets=quotes, expect=422)
    assert [error["pointer"] for error in refused["errors"]] == [""]
    patterns = [f"{'x' * 240}-{number}" for number in range(256)]
    fitting = await plane.client("alice").connect(host, repositories=patterns, fleets=quotes[:100])
    assert (await plane.client("bob").approve(fitting))["status"] == "approved"


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", PATH),
        ("POST", "/v1/connection-checks"),
        ("POST", "/v1/device-revocations"),
        ("POST", "/v1/connections/{id}/approve"),
        ("POST", "/v1/connections/{id}/revoke"),
        ("PATCH", "/v1/connections/{id}"),
        ("PUT", "/v1/connections/{id}/credential"),
    ],
)
async def test_a_field_that_is_given_twice_is_refused(
    plane: ControlPlane, host: str, method: str, path: str
) -> None:
    """Reviewers before us may have read the other one."""
    view = await plane.client("alice").connect(host)
    body = f'{{"reason": "seen", "reason": "{CANARY}"}}'.encode()
    answer = await plane.client("root").call(method, path.replace("{id}", view["id"]), content=body)
    assert answer.status == 422
    assert answer.json["errors"] == [{"pointer": "/reason", "detail": "given more than once"}]
    assert (await plane.client("alice").show(view["id"]))["status"] == "pending"


@pytest.mark.parametrize(
    "name, value, status",
    [
        ("Authorization", "Bearer x", 401),
        ("Content-Type", "application/json", 400),
        ("Content-Length", "2", 400),
        ("Host", "elsewhere", 400),
    ],
)
async def test_a_header_that_is_given_twice_is_refused(
    plane: ControlPlane, name: str, value: str, status: int
) -> None:
    """A proxy before us may have read the other one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
    head = (
        f"POST {PATH} HTTP/1.1",
        "Host: here",
        f"Authorization: Bearer {plane.tokens['alice']}",
        "Content-Type: application/json",
        "Content-Length: 2",
        f"{name}: {value}",
    )
    writer.write("\r\n".join([*head, "", "{}"]).encode())
    line = await reader.readline()
    writer.transport.abort()
    assert int(line.split()[1]) == status
