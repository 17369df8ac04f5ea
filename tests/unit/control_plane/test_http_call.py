"""What of a request's head and query becomes a value."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import InvalidRequestError, NotAuthenticatedError
from control_plane.http_call import (
    bearer_token,
    format_cursor,
    parse_cursor,
    parse_limit,
    parse_sequence,
)
from control_plane.operator_token import OperatorName, OperatorToken

MOMENTS = st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1))  # noqa: DTZ001  # a bound is naive
PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126))


def outcome_of(parse: Callable[[dict[str, str]], object], query: dict[str, str]) -> object:
    """Return what is parsed, or the error that is raised."""
    try:
        return parse(query)
    except InvalidRequestError as error:
        return error


def wrong_parameters(outcome: object) -> list[str | None]:
    """Return the parameters that an error names."""
    if not isinstance(outcome, InvalidRequestError):
        return []
    return [each.parameter for each in outcome.errors]


@given(MOMENTS, st.uuids())
def test_a_cursor_is_read_again(moment: datetime, connection_id: uuid.UUID) -> None:
    """The next page begins where this one ended."""
    text = format_cursor((moment, connection_id))
    assert text is not None
    assert parse_cursor({"cursor": text}) == (moment, connection_id)


@given(st.text())
def test_any_other_cursor_is_a_wrong_parameter(text: str) -> None:
    """Never an error of ours."""
    outcome = outcome_of(parse_cursor, {"cursor": text})
    assert wrong_parameters(outcome) == ["cursor"] or isinstance(outcome, tuple)


@given(st.text())
def test_any_number_is_read_or_refused(text: str) -> None:
    """In ASCII digits alone, and within bounds."""
    for name, parse in (("limit", parse_limit), ("after", parse_sequence)):
        outcome = outcome_of(parse, {name: text})
        assert wrong_parameters(outcome) == [name] or outcome == int(text)


@given(PRINTABLE)
def test_any_authorization_is_a_token_or_nobodys(text: str) -> None:
    """And its text is in no error: whatever was sent is answered in the same words."""
    request = make_mocked_request("GET", "/", headers={"Authorization": f"Bearer {text}"})
    with pytest.raises(NotAuthenticatedError) as refused:
        bearer_token(request)
    assert str(refused.value) == (
        "this is no operator's token, or not the whole of one:"
        " an operator's token is rfo_<name>.<43 characters>"
    )
    assert refused.value.reason == "not of a token's form"


def test_two_authorizations_are_nobodys() -> None:
    """Which of them a proxy looked at, we cannot know."""
    token = OperatorToken.mint(OperatorName("alice")).secret.reveal_text()
    request = make_mocked_request("GET", "/", headers={"Authorization": f"bearer {token}"})
    assert bearer_token(request).name == OperatorName("alice")
    headers = request.headers.copy()
    headers.add("Authorization", f"Bearer {token}")
    with pytest.raises(NotAuthenticatedError, match="several Authorization headers") as refused:
        bearer_token(make_mocked_request("GET", "/", headers=headers))
    assert token not in str(refused.value)
