"""`openapi.json` says what the API does."""

import uuid
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types
from jsonschema.validators import validator_for  # type: ignore[import-untyped]  # ships no types

from control_plane.connections.edit_routes import EditRoutes
from control_plane.connections.routes import ConnectionRoutes
from control_plane.device_revocations.routes import DeviceRevocationRoutes
from control_plane.http.openapi import description
from control_plane.operations import OPERATIONS
from control_plane.operator_accounts.routes import OperatorRoutes
from control_plane.operator_accounts.session_routes import SessionRoutes
from control_plane.review.routes import ReviewRoutes
from control_plane.serving.routes import Api
from control_plane.single_sign_on.routes import SignOnRoutes
from tests.support.control_plane import Answer, ControlPlane, approved_connection
from tests.support.simulators.google import ServiceAccount

DOCUMENT = description()


def unconnected_api() -> Api:
    """Return the API without anything behind it."""
    nothing = cast("Any", None)
    return Api(
        ConnectionRoutes(*[nothing] * 7),
        EditRoutes(*[nothing] * 3),
        ReviewRoutes(nothing),
        DeviceRevocationRoutes(*[nothing] * 2),
        nothing,
        nothing,
        nothing,
        nothing,
        SignOnRoutes(nothing),
        OperatorRoutes(nothing, nothing),
        SessionRoutes(nothing),
    )


def documented() -> set[tuple[str, str]]:
    """Return every method and path of the description."""
    return {
        (method.upper(), path)
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
    }


def require_documented(method: str, path: str, answer: Answer) -> None:
    """Raise unless the answer has a shape that the description gives to its status."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    response = responses[str(answer.status)]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    if "content" not in response:
        assert answer.body == b""
        return
    content_type = answer.headers["Content-Type"].partition(";")[0]
    schema = response["content"][content_type]["schema"]
    Draft202012Validator(
        {**schema, "components": DOCUMENT["components"]},
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    ).validate(answer.json)


def test_every_route_is_described_and_no_other() -> None:
    """By method and path."""
    api = unconnected_api()
    routed = {(route.method, route.path) for route in api.routes()}
    routed |= {("GET", path) for path, _ in api.open_routes()}
    assert documented() == routed


def test_each_role_is_the_one_that_is_checked() -> None:
    """The description is what people ask for tokens by."""
    for route in unconnected_api().routes():
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        assert operation["description"].startswith(f"Role: {route.role} or above.")


def test_every_route_is_in_the_one_table_of_roles() -> None:
    """Whoever asks what a role may do asks the table: nothing is done beside it."""
    routed = {route.operation.id for route in unconnected_api().routes()}
    assert routed == {each.id for each in OPERATIONS}
    assert len(OPERATIONS) == len(routed)


def test_every_schema_is_one() -> None:
    """A misspelt keyword would check nothing."""
    for schema in DOCUMENT["components"]["schemas"].values():
        validator_for(schema, default=Draft202012Validator).check_schema(schema)


def test_every_object_with_fields_has_a_name() -> None:
    """A generated client names the others by their place, and some names then come twice."""
    schemas = DOCUMENT["components"]["schemas"]
    within = [child for schema in schemas.values() for child in parts(schema)]
    within += parts(DOCUMENT["paths"]) + parts(DOCUMENT["components"]["responses"])
    assert [each for each in within if "properties" in each and "type" in each] == []


def parts(schema: Any) -> list[dict[str, Any]]:
    """Return every object of JSON within one, at any depth."""
    children = schema.values() if isinstance(schema, dict) else schema
    if not isinstance(schema, dict | list):
        return []
    found = [child for child in children if isinstance(child, dict)]
    return found + [each for child in children for each in parts(child)]


async def test_answers_have_the_shape_that_is_described(plane: ControlPlane, host: str) -> None:
    """Right ones and problems alike."""
    alice, bob, eve = (plane.client(name) for name in ("alice", "bob", "eve"))
    body = {"host": host, "provider": "static"}
    path, one = "/v1/connections", "/v1/connections/{id}"
    created = await alice.call("POST", f"{path}?check=false", body)
    view = created.json
    approve = {"fingerprint": view["fingerprint"]}
    of_it = f"{path}/{view['id']}"
    nobody = plane.client(None)
    for method, template, answer, status in (
        ("POST", path, created, 201),
        ("POST", path, await alice.call("POST", f"{path}?check=false", body), 409),
        ("POST", path, await alice.call("POST", path, {}), 422),
        ("POST", path, await alice.call("POST", path, content=b"{"), 400),
        ("POST", path, await eve.call("POST", path, body), 403),
        ("GET", path, await nobody.call("GET", path), 401),
        ("GET", path, await eve.call("GET", path), 200),
        ("GET", path, await eve.call("GET", f"{path}?limit=x"), 422),
        ("GET", one, await eve.call("GET", of_it), 200),
        ("GET", one, await eve.call("GET", f"{path}/x"), 404),
        ("POST", f"{one}/approve", await bob.call("POST", f"{of_it}/approve", approve), 200),
        ("POST", f"{one}/approve", await bob.call("POST", f"{of_it}/approve", approve), 200),
        ("POST", f"{one}/approve", await bob.call(
            "POST", f"{of_it}/approve", {"fingerprint": f"sha256:{'0' * 64}"}), 409),
        ("POST", f"{one}/revoke", await bob.call("POST", f"{of_it}/revoke"), 200),
        ("POST", "/v1/connection-checks", await alice.call(
            "POST", "/v1/connection-checks", {"host": "no.invalid", "provider": "static"}), 200),
        ("GET", "/v1/audit", await eve.call("GET", "/v1/audit"), 200),
        ("GET", "/healthz", await nobody.call("GET", "/healthz"), 200),
        ("GET", "/readyz", await nobody.call("GET", "/readyz"), 200),
        ("GET", "/openapi.json", await nobody.call("GET", "/openapi.json"), 200),
    ):  # fmt: skip
        assert answer.status == status, answer.body
        require_documented(method, template, answer)


@pytest.mark.parametrize("field", ["token", "secret", "service_account_key"])
def test_no_answer_has_a_place_for_a_secret(field: str) -> None:
    """Only requests do."""
    schemas = DOCUMENT["components"]["schemas"]
    having = {name for name, schema in schemas.items() if field in schema.get("properties", {})}
    issued = {"IssuedToken"} if field == "token" else set()
    assert having <= {"ConnectionRequest", "ConnectionEdit", "CredentialChange"} | issued


def test_only_two_answers_have_an_operators_token() -> None:
    """That which made it, and that which replaced it."""
    named = "#/components/schemas/IssuedToken"
    schemas = DOCUMENT["components"]["schemas"]
    assert not [name for name, schema in schemas.items() if named in str(schema)]
    having = {
        (path, method)
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
        if named in str(operation["responses"])
    }
    assert having == {("/v1/operators", "post"), ("/v1/operators/{name}/rotate", "post")}


async def test_the_description_is_served_as_it_is(plane: ControlPlane) -> None:
    """To anybody: it holds no secret."""
    answer = await plane.client(None).call("GET", "/openapi.json")
    assert answer.json == DOCUMENT


async def test_edits_and_grants_have_their_shape(plane: ControlPlane, host: str) -> None:
    """With a draft beside, and for each provider that has something to grant."""
    alice, one = plane.client("alice"), "/v1/connections/{id}"
    view = await approved_connection(plane, host, username="robot", token="x")
    of_it = f"/v1/connections/{view['id']}"
    ecr_host = "123456789012.dkr.ecr.eu-west-3.amazonaws.com"
    role = await alice.connect(
        ecr_host, provider="aws_ecr", role_arn="arn:aws:iam::123456789012:role/pull"
    )
    key = ServiceAccount.create().key_json()
    google = await alice.connect(
        "eu.gcr.io", provider="google_service_account", service_account_key=key
    )
    path = "/v1/connections/"
    for method, template, answer, status in (
        ("PATCH", one, await alice.call("PATCH", of_it, {"fleets": ["a"]}), 200),
        ("PATCH", one, await alice.call("PATCH", of_it, {"plain_http": True}), 422),
        ("GET", one, await alice.call("GET", of_it), 200),
        ("GET", f"{one}/review", await alice.call("GET", f"{of_it}/review"), 200),
        ("GET", f"{one}/review", await alice.call("GET", f"{path}{role['id']}/review"), 200),
        ("GET", f"{one}/review", await alice.call("GET", f"{path}{google['id']}/review"), 200),
        ("PUT", f"{one}/credential", await alice.call(
            "PUT", f"{of_it}/credential?check=false", {"token": "y"}), 200),
        ("PUT", f"{one}/credential", await alice.call(
            "PUT", f"{of_it}/credential", {"token": "y", "approve": True}), 403),
        ("GET", f"{one}/grant", await alice.call("GET", f"{of_it}/grant"), 404),
        ("GET", f"{one}/grant", await alice.call("GET", f"{path}{role['id']}/grant"), 200),
        ("GET", f"{one}/grant", await alice.call("GET", f"{path}{google['id']}/grant"), 200),
        ("GET", one, await alice.call("GET", f"{path}{role['id']}"), 200),
        ("GET", one, await alice.call("GET", f"{path}{google['id']}"), 200),
        ("DELETE", f"{one}/draft", await alice.call("DELETE", f"{of_it}/draft"), 204),
        ("DELETE", f"{one}/draft", await alice.call("DELETE", f"{of_it}/draft"), 404),
    ):  # fmt: skip
        assert answer.status == status, answer.body
        require_documented(method, template, answer)


async def test_an_approved_view_has_its_shape_too(plane: ControlPlane, host: str) -> None:
    """With a user name, an approver and an expiry."""
    view = await approved_connection(plane, host, username="robot", token="x")
    answer = await plane.client("eve").call("GET", f"/v1/connections/{view['id']}")
    require_documented("GET", "/v1/connections/{id}", answer)


async def test_device_revocations_have_their_shape(plane: ControlPlane) -> None:
    """In force, repeated, lifted and refused."""
    bob, eve = plane.client("bob"), plane.client("eve")
    path, one = "/v1/device-revocations", "/v1/device-revocations/{id}"
    body = {"serial": uuid.uuid4().hex, "issuer": "CN=Device CA", "reason": "stolen"}
    created = await bob.call("POST", path, body)
    of_it = f"{path}/{created.json['id']}"
    for method, template, answer, status in (
        ("POST", path, created, 201),
        ("POST", path, await bob.call("POST", path, body), 200),
        ("POST", path, await bob.call("POST", path, {}), 422),
        ("POST", path, await bob.call("POST", path, content=b"["), 400),
        ("POST", path, await eve.call("POST", path, body), 403),
        ("GET", path, await bob.call("GET", path), 200),
        ("GET", path, await bob.call("GET", f"{path}?cursor=x"), 422),
        ("GET", one, await bob.call("GET", of_it), 200),
        ("DELETE", one, await eve.call("DELETE", of_it), 403),
        ("DELETE", one, await bob.call("DELETE", of_it), 204),
        ("DELETE", one, await bob.call("DELETE", of_it), 404),
        ("GET", one, await bob.call("GET", of_it), 404),
    ):
        assert answer.status == status, answer.body
        require_documented(method, template, answer)
