"""What of a body becomes a connection request."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.connections.request import ConnectionRequest, parse_connection_request
from control_plane.errors import ControlPlaneError, InvalidRequestError, UnreadableBodyError
from control_plane.reading.field_reader import read_object
from shared.connection import Anonymous, UsernameAndToken

CANARY = "canary-in-a-field"
FIELDS = (
    "host",
    "provider",
    "repository_prefix",
    "username",
    "token",
    "repositories",
    "fleets",
    "plain_http",
    "allowed_networks",
    "ca_certificate",
    "auth_realms",
    "description",
    "service_account_key",
    "nonsense",
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=40)
    | st.sampled_from(["docker.io", "static", "10.0.0.0/8", "https://a.example/", CANARY]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def outcome_of(parse: Callable[[Any], object], argument: object) -> object:
    """Return what is parsed, or the error of ours that is raised."""
    try:
        return parse(argument)
    except ControlPlaneError as error:
        return error


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=10), VALUES, max_size=14))
def test_any_object_is_a_request_or_names_its_fields(body: dict[str, Any]) -> None:
    """Nothing else is raised, and no value is quoted."""
    outcome = outcome_of(parse_connection_request, body)
    if isinstance(outcome, InvalidRequestError):
        assert outcome.errors
        for each in outcome.errors:
            assert each.pointer.startswith("/")
            assert CANARY not in each.detail
    else:
        assert isinstance(outcome, ConnectionRequest)
        assert (outcome.secret is None) == isinstance(outcome.credential, Anonymous)


@given(st.binary())
def test_any_bytes_are_an_object_or_unreadable(body: bytes) -> None:
    """The parser's own words, which hold the body, are not handed on."""
    outcome = outcome_of(read_object, body)
    if isinstance(outcome, UnreadableBodyError):
        assert str(outcome) == "the body is not a JSON object in UTF-8"
        assert outcome.__cause__ is None
        assert outcome.__suppress_context__
    else:
        assert isinstance(outcome, dict)


def test_a_whole_request() -> None:
    """Every field has its place; the secret does not print."""
    request = parse_connection_request(
        {
            "host": "https://GHCR.io/",
            "provider": "static",
            "repository_prefix": "team",
            "username": "robot$x",
            "token": CANARY,
            "repositories": ["team/*", "team/*", "models/**"],
            "fleets": ["line-a"],
            "allowed_networks": ["10.0.0.0/8", "fd00::/8"],
            "auth_realms": ["https://auth.example:8443/token?x=1"],
            "description": "",
        }
    )
    assert str(request.host) == "ghcr.io"
    assert request.credential == UsernameAndToken("robot$x")
    assert [str(pattern) for pattern in request.repositories] == ["team/*", "models/**"]
    assert request.secret is not None
    assert CANARY not in repr(request)


@pytest.mark.parametrize("absent", [{}, {"username": None, "token": None}])
def test_neither_user_nor_token_is_anonymous(absent: dict[str, object]) -> None:
    """Null is the same as absent."""
    request = parse_connection_request({"host": "docker.io", "provider": "static", **absent})
    assert request.credential == Anonymous()


def test_too_many_items_are_refused() -> None:
    """Lists are bounded."""
    with pytest.raises(InvalidRequestError) as refused:
        parse_connection_request({"host": "docker.io", "provider": "static", "fleets": ["a"] * 257})
    assert [each.pointer for each in refused.value.errors] == ["/fleets"]


def test_unknown_fields_are_named_within_bounds() -> None:
    """A hostile body does not make a huge answer, and a pointer is a JSON pointer."""
    body = {f"~/{number:04}\n{'x' * 1000}": CANARY for number in range(1000)}
    with pytest.raises(InvalidRequestError) as refused:
        parse_connection_request({"host": "docker.io", "provider": "static"} | body)
    assert len(refused.value.errors) == 20
    assert refused.value.errors[0].pointer.startswith("/~0~10000?xx")
    assert all(len(each.pointer) < 80 for each in refused.value.errors)
