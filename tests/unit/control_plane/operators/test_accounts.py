"""What an admin asks for about operators."""

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import InvalidRequestError, NotFoundError
from control_plane.operator_accounts.operator_sessions import parse_caller
from control_plane.operator_accounts.request import (
    parse_operator_request,
    parse_rotation_request,
)
from control_plane.operator_accounts.routes import format_name_cursor, parse_name_cursor
from control_plane.operators.operator_token import OperatorName
from control_plane.operators.permissions import Role

AT = datetime(2030, 1, 1, tzinfo=UTC)
VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text(), max_size=2)
FIELDS = st.sampled_from(["name", "role", "expires_at", "person"]) | st.text()
BODIES = st.dictionaries(FIELDS, VALUES, max_size=6)


Parse = Callable[[Mapping[str, object], datetime], object]


def wrong(body: Mapping[str, object], parse: Parse = parse_operator_request) -> list[str]:
    """Return which fields of a request are wrong."""
    try:
        parse(body, AT)
    except InvalidRequestError as error:
        return sorted(each.pointer for each in error.errors)
    return []


def test_a_token_ends_as_is_said_and_otherwise_after_a_year() -> None:
    """Never, only if that is asked for."""
    body: dict[str, object] = {"name": "alice", "role": "connector"}
    request = parse_operator_request(body, AT)
    assert (request.name, request.role) == (OperatorName("alice"), Role.CONNECTOR)
    assert request.lifetime == timedelta(days=365)
    said = parse_operator_request(body | {"expires_at": "2030-01-02T00:00:00Z"}, AT)
    assert said.lifetime == AT + timedelta(days=1)
    assert parse_operator_request(body | {"expires_at": None}, AT).lifetime is None
    assert parse_rotation_request({}, AT).lifetime == timedelta(days=365)


def test_every_wrong_field_is_named() -> None:
    """At once."""
    past = "2030-01-01T00:00:00Z"
    body = {"name": "Alice", "role": "king", "expires_at": past, "person": "me", "token": "x"}
    assert wrong(body) == ["/expires_at", "/name", "/person", "/role", "/token"]
    assert wrong({}) == ["/name", "/role"]


@given(BODIES)
def test_any_object_is_an_operator_or_names_its_fields(body: dict[str, object]) -> None:
    """Whatever is sent."""
    assert all(each.startswith("/") for each in wrong(body))
    assert wrong(body) or {"name", "role"} <= body.keys()


@given(BODIES)
def test_any_object_is_a_rotation_or_names_its_fields(body: dict[str, object]) -> None:
    """Whatever is sent."""
    assert all(each.startswith("/") for each in wrong(body, parse_rotation_request))


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_cursor_comes_back_as_it_was(name: str) -> None:
    """Whatever somebody wrote into the database as an operator's name."""
    cursor = format_name_cursor(name)
    assert cursor is not None
    assert parse_name_cursor(cursor) == name


def test_a_name_that_postgresql_cannot_hold_is_no_place_in_a_list() -> None:
    """It was asked, and what it said was answered 500."""
    with pytest.raises(ValueError, match="next_cursor"):
        parse_name_cursor(base64.urlsafe_b64encode(b"alice\0").decode())


@given(st.text())
def test_any_other_cursor_is_refused(text: str) -> None:
    """Or it is one of ours."""
    try:
        name = parse_name_cursor(text)
    except ValueError:
        return
    assert format_name_cursor(name) == text


@given(st.text() | st.text().map("oidc:{}:x".format))
def test_any_caller_is_somebody_or_nobody(text: str) -> None:
    """An operator or a person, by the one form of their name; whatever else a path says."""
    try:
        name = parse_caller(text)
    except NotFoundError:
        return
    assert name == text


@pytest.mark.parametrize("name", ["alice", "oidc:https%3A%2F%2Fid.example:42"])
def test_operators_and_persons_are_callers(name: str) -> None:
    """Whoever may have a session."""
    assert parse_caller(name) == name
