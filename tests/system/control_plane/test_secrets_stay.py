"""A canary secret goes in, and is found nowhere."""

from tests.support.control_plane import ControlPlane, Json
from tests.support.database import Database

CANARIES = ("canary-one-of-a-connection", "canary-two-of-a-check", "canary-three-of-a-refusal")


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
    dump = database.sql(
        "SELECT row_to_json(t)::text FROM statements t;"
        "SELECT row_to_json(t)::text FROM connections t;"
        "SELECT row_to_json(t)::text FROM connection_revisions t;"
        "SELECT row_to_json(t)::text FROM audit_entries t;"
        "SELECT encode(payload, 'escape') FROM statements;"
        "SELECT encode(document, 'escape') FROM connection_revisions;"
        "SELECT encode(sealed_secret, 'escape') FROM connection_revisions;"
        "SELECT encode(payload, 'escape') FROM audit_entries"
    )
    seen = b"".join(bodies).decode() + dump + own_plane.log.read_text()
    assert len(own_plane.log_lines) > 10
    for secret in (*CANARIES, *own_plane.tokens.values(), forged):
        assert secret not in seen
        assert secret.encode().hex() not in seen
