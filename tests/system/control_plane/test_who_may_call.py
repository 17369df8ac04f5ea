"""Tokens and roles."""

import pytest

from control_plane.operator_token import OperatorName, OperatorToken
from tests.support.control_plane import ControlPlane, operators_of
from tests.support.eventually import eventually

ID = "00000000-0000-4000-8000-000000000000"
CALLS = [
    ("GET", "/v1/connections", "viewer"),
    ("GET", f"/v1/connections/{ID}", "viewer"),
    ("GET", "/v1/audit", "viewer"),
    ("GET", "/metrics", "viewer"),
    ("POST", "/v1/connections", "connector"),
    ("POST", "/v1/connection-checks", "connector"),
    ("POST", f"/v1/connections/{ID}/approve", "approver"),
    ("POST", f"/v1/connections/{ID}/revoke", "approver"),
    ("POST", "/v1/device-revocations", "approver"),
    ("GET", "/v1/device-revocations", "approver"),
    ("GET", f"/v1/device-revocations/{ID}", "approver"),
    ("DELETE", f"/v1/device-revocations/{ID}", "approver"),
]
RANKS = {"viewer": 0, "connector": 1, "approver": 2, "admin": 3}
ROLES = {"eve": "viewer", "alice": "connector", "bob": "approver", "root": "admin"}


@pytest.mark.parametrize("method, path, needed", CALLS)
async def test_each_call_needs_its_role(
    plane: ControlPlane, method: str, path: str, needed: str
) -> None:
    """A role has what those below it have, and nothing more."""
    for name, role in ROLES.items():
        answer = await plane.client(name).call(method, path, {} if method == "POST" else None)
        assert (answer.status == 403) == (RANKS[role] < RANKS[needed]), (name, answer.body)
        assert answer.status != 401


@pytest.mark.parametrize("method, path, _needed", CALLS)
async def test_nobody_without_a_token_does_anything(
    plane: ControlPlane, method: str, path: str, _needed: str
) -> None:
    """Missing, malformed, of another scheme, of another operator: 401, in the same words."""
    alice = plane.tokens["alice"]
    forged = OperatorToken.mint(OperatorName("alice")).secret.reveal_text()
    unknown = OperatorToken.mint(OperatorName("mallory")).secret.reveal_text()
    for authorization in (
        None,
        "Bearer",
        "Bearer x",
        f"Basic {alice}",
        f"Bearer {alice}x",
        f"Bearer {alice[:-1]}",
        f"Bearer {forged}",
        f"Bearer {unknown}",
        f"Bearer {alice.replace('alice', 'root')}",
    ):
        headers = {"Authorization": authorization} if authorization else {}
        answer = await plane.client(None).call(method, path, headers=headers)
        assert answer.status == 401
        assert answer.json["detail"] == "an operator's token is required"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_rotated_token_is_worth_nothing(own_plane: ControlPlane) -> None:
    """The new one works, the old one does not, at once and in a running process."""
    old = own_plane.tokens["alice"]
    new = own_plane.run("operators", "rotate", "alice").strip()
    assert (await own_plane.client(None, token=old).call("GET", "/v1/connections")).status == 401
    assert (await own_plane.client(None, token=new).call("GET", "/v1/connections")).status == 200


async def test_a_removed_operator_may_not_call(own_plane: ControlPlane) -> None:
    """And may be added again later, with another token."""
    own_plane.run("operators", "remove", "alice")
    alice = own_plane.client("alice")
    assert (await alice.call("GET", "/v1/connections")).status == 401
    token = own_plane.run("operators", "add", "alice", "--role", "viewer").strip()
    assert (await alice.call("GET", "/v1/connections")).status == 401
    again = own_plane.client(None, token=token)
    assert (await again.call("GET", "/v1/connections")).status == 200


async def test_an_expired_token_is_worth_nothing(own_plane: ControlPlane) -> None:
    """A token that was given for a second does not last."""
    token = own_plane.run("operators", "add", "temp", "--role", "viewer", "--expires", "1s")
    client = own_plane.client(None, token=token.strip())

    async def is_refused() -> bool:
        return (await client.call("GET", "/v1/connections")).status == 401

    await eventually(is_refused)


async def test_only_a_hash_of_the_token_is_in_the_database(own_plane: ControlPlane) -> None:
    """A thief of the database cannot log in with what is there."""
    async with operators_of(own_plane.owner_url, own_plane.keys) as operators:
        listed = {operator.name: operator.role for operator in await operators.list()}
    assert listed == ROLES
