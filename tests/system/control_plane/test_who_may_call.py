"""Tokens and roles."""

from datetime import timedelta

import pytest

from control_plane.connections.operations import APPROVE, LIST
from control_plane.http.operation import OperatorsOperation
from control_plane.operations import OPERATIONS
from control_plane.operators.operator_token import OperatorName, OperatorToken
from control_plane.operators.permissions import Role
from deploy.dev.product import CommandFailedError
from shared.canonical_json import format_time
from tests.support.control_plane import OPERATORS, ControlPlane, operators_of
from tests.support.eventually import eventually
from tests.system.control_plane.test_openapi import require_documented

ID = "00000000-0000-4000-8000-000000000000"
REQUIRED = "an operator's token is required"
MALFORMED = "this is no operator's token, or not the whole of one"
UNKNOWN = "no operator has this token"


async def refused(
    plane: ControlPlane, name: str, operation: OperatorsOperation, *true: str
) -> bool:
    """Tell whether an operator's role is refused an operation, with these fields of its body."""
    body = dict.fromkeys(true, True) if operation.body else None
    path = path_of(operation)
    answer = await plane.client(name).call(operation.method, path, body)
    assert answer.status not in {401, 500}, answer.body
    return answer.status == 403


def path_of(operation: OperatorsOperation) -> str:
    """Return a path of the operation, of something that is not there."""
    path = operation.path.replace("{id}", ID).replace("{name}", "nobody")
    return path.replace("{caller}", "nobody").replace("{session}", "0" * 32)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.id)
async def test_each_role_does_what_the_table_says_and_nothing_more(
    plane: ControlPlane, operation: OperatorsOperation
) -> None:
    """Every role against every operation, and against each field that asks for more."""
    for name, role in OPERATORS.items():
        assert await refused(plane, name, operation) is not operation.allows(role), role
        for field in operation.role_of_field:
            is_refused = await refused(plane, name, operation, field)
            assert is_refused is not operation.allows(role, field), (role, field)


async def test_everybody_learns_who_they_are(plane: ControlPlane) -> None:
    """By name and role, by what they came in, until when, and what they may do."""
    for name, role in OPERATORS.items():
        answer = await plane.client(name).call("GET", "/v1/me")
        require_documented("GET", "/v1/me", answer)
        allowed = [each.id for each in OPERATIONS if each.allows(role)]
        assert answer.json == {
            "name": name,
            "display_name": name,
            "person": None,
            "role": role.value,
            "login": "token",
            "expires_at": None,
            "operations": allowed,
        }
    async with operators_of(plane.owner_url, plane.keys) as operators:
        token = await operators.add(
            OperatorName("ends"), Role.VIEWER, lifetime=timedelta(days=1), actor="shell:test"
        )
        try:
            of_a_day = plane.client(None, token=token.secret.reveal_text())
            answer = await of_a_day.call("GET", "/v1/me")
            (listed,) = [each for each in await operators.list() if each.name == "ends"]
        finally:
            await operators.remove(OperatorName("ends"), actor="shell:test")
    assert listed.expires_at is not None
    assert answer.json["expires_at"] == format_time(listed.expires_at)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.id)
async def test_nobody_without_a_token_does_anything(
    plane: ControlPlane, operation: OperatorsOperation
) -> None:
    """Missing, malformed, of another scheme: 401 for each operation, and what is wrong with it."""
    alice = plane.tokens["alice"]
    for authorization, words in (
        (None, REQUIRED),
        (f"Basic {alice}", "another scheme than Bearer"),
        ("Bearer", MALFORMED),
        ("Bearer x", MALFORMED),
        (f"Bearer {alice}x", MALFORMED),
        (f"Bearer {alice[:-1]}", MALFORMED),
    ):
        await require_refused(plane, operation, authorization, words)


@pytest.mark.parametrize("operation", [LIST, APPROVE], ids=lambda each: each.id)
async def test_a_token_of_nobody_does_nothing(
    plane: ControlPlane, operation: OperatorsOperation
) -> None:
    """One that has the form of a token, of an operator or of somebody else."""
    alice = plane.tokens["alice"]
    for token in (minted("alice"), minted("mallory"), alice.replace("alice", "root")):
        await require_refused(plane, operation, f"Bearer {token}", UNKNOWN)


async def require_refused(
    plane: ControlPlane, operation: OperatorsOperation, authorization: str | None, words: str
) -> None:
    """Fail unless such a header is answered 401 with these words."""
    headers = {"Authorization": authorization} if authorization else {}
    answer = await plane.client(None).call(operation.method, path_of(operation), headers=headers)
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
    assert listed == {name: role.value for name, role in OPERATORS.items()}
