"""A canary secret goes in, and is found nowhere."""

from typing import Any
from urllib.parse import parse_qs

import orjson

from deploy.dev.product import CommandFailedError
from tests.support.control_plane import ControlPlane, Json
from tests.support.database import Database
from tests.support.simulators.google import GoogleSimulator, ServiceAccount
from tests.system.control_plane.conftest import StartPlane

CANARIES = ("canary-one-of-a-connection", "canary-two-of-a-check", "canary-three-of-a-refusal")
ROTATED = tuple(f"canary-{number}-of-a-rotation" for number in ("a", "b", "c", "d", "e"))


def dump_of(database: Database) -> str:
    """Return every row, with the bytes in it as text."""
    return database.sql(
        "SELECT row_to_json(t)::text FROM statements t;"
        "SELECT row_to_json(t)::text FROM connections t;"
        "SELECT row_to_json(t)::text FROM connection_revisions t;"
        "SELECT row_to_json(t)::text FROM audit_entries t;"
        "SELECT encode(payload, 'escape') FROM statements;"
        "SELECT encode(document, 'escape') FROM connection_revisions;"
        "SELECT encode(sealed_secret, 'escape') FROM connection_revisions;"
        "SELECT encode(payload, 'escape') FROM audit_entries"
    )


async def test_a_secret_appears_nowhere(own_plane: ControlPlane, database: Database) -> None:
    """Not in answers, the log at debug level, or a full dump of the database."""
    alice, bob = own_plane.client("alice"), own_plane.client("bob")
    one, two, three = CANARIES
    bodies: list[bytes] = []

    async def call(method: str, path: str, body: Json | None = None) -> Json:
        answer = await own_plane.client("root").call(method, path, body)
        bodies.append(answer.body)
        return dict(answer.json)

    base = {"host": "registry.example", "provider": "static", "username": "robot"}
    view = await call("POST", "/v1/connections?check=false", base | {"token": one})
    await call("POST", "/v1/connection-checks", base | {"token": two})
    await call("POST", "/v1/connections", base | {"token": three, "fleets": 1})
    await call("POST", "/v1/connections?check=false", base | {"token": three})
    await bob.approve(view)
    for path in ("", f"/{view['id']}"):
        await call("GET", f"/v1/connections{path}")
    await call("GET", "/v1/audit")
    await bob.revoke(view["id"])
    forged = f"{own_plane.tokens['alice'][:-3]}xyz"
    await own_plane.client(None, token=forged).call("GET", "/v1/audit")
    await alice.call("GET", "/v1/audit")
    seen = b"".join(bodies).decode() + dump_of(database) + own_plane.log.read_text()
    assert len(own_plane.log_lines) > 10
    for secret in (*CANARIES, *own_plane.tokens.values(), forged):
        assert secret not in seen
        assert secret.encode().hex() not in seen


async def test_new_secrets_keys_and_minted_tokens_appear_nowhere(
    start_plane: StartPlane, database: Database
) -> None:
    """In drafts, discarded and refused ones, checks of Google's keys, and commands."""
    account = ServiceAccount.create()
    async with GoogleSimulator(account) as google:
        own_plane = await start_plane({"CONTROL_PLANE_GOOGLE_TOKEN_URL": google.token_url})
        seen = await _rotate_everything(own_plane, account)
        assert len(google.tokens) >= 2
        minted = list(google.tokens.values)
    seen += dump_of(database) + own_plane.log.read_text()
    assertions = [parse_qs(each.body.decode())["assertion"][0] for each in google.requests]
    key_lines = account.private_pem.splitlines()[1:-1]
    for secret in (*ROTATED, *key_lines, *minted, *assertions):
        assert secret
        assert secret not in seen
        assert secret.encode().hex() not in seen


async def _rotate_everything(plane: ControlPlane, account: ServiceAccount) -> str:
    """Give secrets in every way there is; return all that was answered and printed."""
    seen: list[str] = []
    key = account.key_json()

    async def call(method: str, path: str, body: Json | None = None) -> Json:
        answer = await plane.client("root").call(method, f"/v1/connections{path}", body)
        seen.append(answer.body.decode())
        return dict(answer.json or {})

    def run(*arguments: str, given: str) -> None:
        try:
            seen.append(plane.run("connections", *arguments, operator="root", given=given))
        except CommandFailedError as error:
            seen.append(str(error))

    one, two, three, four, five = ROTATED
    static = {"host": "registry.example", "provider": "static", "username": "robot"}
    view = await call("POST", "?check=false", static | {"token": one})
    path = f"/{view['id']}"
    await call("POST", f"{path}/approve", {"fingerprint": view["fingerprint"]})
    await call("PUT", f"{path}/credential?check=false", {"token": two})
    await call("DELETE", f"{path}/draft")
    await call("PUT", f"{path}/credential?check=false", {"token": three, "approve": True})
    await call("PATCH", f"{path}?check=false", {"token": four, "plain_http": True})
    await call("PATCH", path, {"token": four, "nonsense": four, "fleets": {"x": four}})
    run("rotate", view["id"], "--token-stdin", "--no-check", given=five)
    run("edit", view["id"], "--token-stdin", "--auth-realm", "nonsense", given=five)
    google = {"host": "no-such-place-docker.pkg.dev", "provider": "google_service_account"}
    made = await call("POST", "", google | {"service_account_key": key})
    await call("POST", "", google | {"service_account_key": key | {"type": "x"}})
    await call("PUT", f"/{made['id']}/credential", {"service_account_key": key})
    run("rotate", made["id"], "--no-check", given=orjson.dumps(key).decode())
    for ending in ("", path, f"/{made['id']}", f"/{made['id']}/grant"):
        await call("GET", ending)
    return "".join(seen)


async def test_an_external_id_is_in_no_log(own_plane: ControlPlane) -> None:
    """Whoever makes the trust policy sees it, whoever reads logs does not."""
    alice = own_plane.client("alice")
    host = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    role: dict[str, Any] = {
        "provider": "aws_ecr",
        "role_arn": "arn:aws:iam::123456789012:role/pull",
    }
    view = await alice.connect(host, check=True, **role)
    generated = view["ecr"]["external_id"]
    await own_plane.client("bob").approve(view)
    await alice.edit(view["id"], check=True, external_id="canary-external-id")
    await alice.edit(view["id"], expect=422, external_id="canary-external-id refused")
    assert (await alice.grant(view["id"]))["external_id"] == "canary-external-id"
    logged = own_plane.log.read_text() + str(await alice.audit())
    assert "connection.draft" in logged
    assert generated not in logged
    assert "canary-external-id" not in logged
