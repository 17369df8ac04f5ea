"""Tokens and roles."""

import pytest

from control_plane.operators.operator_token import OperatorName, OperatorToken
from deploy.dev.product import CommandFailedError
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
    ("POST", "/v1/device-revocations/batch", "approver"),
    ("GET", "/v1/device-revocations", "approver"),
    ("GET", f"/v1/device-revocations/{ID}", "approver"),
    ("DELETE", f"/v1/device-revocations/{ID}", "approver"),
]
RANKS = {"viewer": 0, "connector": 1, "approver": 2, "admin": 3}
REQUIRED = "an operator's token is required"
MALFORMED = "this is no operator's token, or not the whole of one"
UNKNOWN = "no operator has this token"
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
    """Missing, malformed, of another scheme, of nobody: 401, and what is wrong with it."""
    alice = plane.tokens["alice"]
    for authorization, words in (
        (None, REQUIRED),
        (f"Basic {alice}", "another scheme than Bearer"),
        ("Bearer", MALFORMED),
        ("Bearer x", MALFORMED),
        (f"Bearer {alice}x", MALFORMED),
        (f"Bearer {alice[:-1]}", MALFORMED),
        (f"Bearer {minted('alice')}", UNKNOWN),
        (f"Bearer {minted('mallory')}", UNKNOWN),
        (f"Bearer {alice.replace('alice', 'root')}", UNKNOWN),
    ):
        headers = {"Authorization": authorization} if authorization else {}
        answer = await plane.client(None).call(method, path, headers=headers)
        assert answer.status == 401
        assert words in answer.json["detail"]
        is_given = words in {MALFORMED, UNKNOWN}
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert ("invalid_token" in answer.headers["WWW-Authenticate"]) == is_given


async def test_a_stranger_learns_no_operators_name(plane: ControlPlane) -> None:
    """A token that somebody made up is answered alike, be there such an operator or not."""
    answers = [await refusal(plane, minted(name)) for name in ("alice", "eve", "mallory")]
    assert answers == [answers[0]] * 3
    assert "alice" not in answers[0]


async def test_a_rotated_token_is_worth_nothing(own_plane: ControlPlane) -> None:
    """The new one works, the old one does not, at once; who has the old one is told why."""
    first = own_plane.tokens["alice"]
    second = own_plane.run("operators", "rotate", "alice").strip()
    third = own_plane.run("operators", "rotate", "alice").strip()
    assert (await own_plane.client(None, token=third).call("GET", "/v1/connections")).status == 200
    for replaced in (first, second):
        words = await refusal(own_plane, replaced)
        assert "this token was replaced at 20" in words
        assert "`control-plane operators rotate alice`" in words
    with pytest.raises(CommandFailedError, match="this token was replaced"):
        own_plane.run("connections", "list", operator="alice")
    assert UNKNOWN in await refusal(own_plane, minted("alice"))
    log = own_plane.log.read_text() + str(await own_plane.client("eve").audit())
    assert not any(token in log for token in (first, second, third))


async def test_a_removed_operator_may_not_call(own_plane: ControlPlane) -> None:
    """And may be added again later, with another token."""
    rotated = own_plane.tokens["alice"]
    own_plane.tokens["alice"] = own_plane.run("operators", "rotate", "alice").strip()
    own_plane.run("operators", "remove", "alice")
    unknown = await refusal(own_plane, minted("mallory"))
    assert UNKNOWN in unknown
    assert await refusal(own_plane, own_plane.tokens["alice"]) == unknown
    assert await refusal(own_plane, rotated) == unknown
    token = own_plane.run("operators", "add", "alice", "--role", "viewer").strip()
    assert await refusal(own_plane, own_plane.tokens["alice"]) == unknown
    again = own_plane.client(None, token=token)
    assert (await again.call("GET", "/v1/connections")).status == 200


async def test_an_expired_token_is_worth_nothing(own_plane: ControlPlane) -> None:
    """A token that was given for a second does not last; who has it is told how to go on."""
    added = own_plane.run("operators", "add", "temp", "--role", "viewer", "--expires", "1s")
    token = added.strip()
    client = own_plane.client(None, token=token)

    async def is_refused() -> bool:
        return (await client.call("GET", "/v1/connections")).status == 401

    await eventually(is_refused)
    words = await refusal(own_plane, token)
    assert "this token expired at 20" in words
    assert "`control-plane operators rotate temp`" in words
    assert UNKNOWN in await refusal(own_plane, minted("temp"))


def minted(name: str) -> str:
    """Return a token that has the form of an operator's, and that nobody was given."""
    return OperatorToken.mint(OperatorName(name)).secret.reveal_text()


async def refusal(plane: ControlPlane, token: str) -> str:
    """Return in which words a token is refused."""
    answer = await plane.client(None, token=token).call("GET", "/v1/connections")
    assert answer.status == 401
    return str(answer.json["detail"])


async def test_only_a_hash_of_the_token_is_in_the_database(own_plane: ControlPlane) -> None:
    """A thief of the database cannot log in with what is there."""
    async with operators_of(own_plane.owner_url, own_plane.keys) as operators:
        listed = {operator.name: operator.role for operator in await operators.list()}
    assert listed == ROLES
