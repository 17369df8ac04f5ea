"""For how long a token is believed, whatever its answer says."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.upstream.errors import TokenExchangeError
from shared.upstream.token_exchange import MAX_LIFETIME_SECONDS, access_token, token_lifetime

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> str:
    """Return an RFC 3339 time, seconds from now."""
    return (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    "body, seconds",
    [
        ({}, 60),
        ({"expires_in": 300}, 300),
        ({"expires_in": 2}, 2),
        ({"expires_in": 0}, 60),
        ({"expires_in": -1}, 60),
        ({"expires_in": 10**12}, MAX_LIFETIME_SECONDS),
        ({"expires_in": 1e400}, 60),
        ({"expires_in": "300"}, 60),
        ({"expires_in": None}, 60),
        ({"expires_in": True}, 60),
        ({"expires_in": [1]}, 60),
        ({"expires_in": 300, "issued_at": at(0)}, 300),
        ({"expires_in": 300, "issued_at": at(-100)}, 200),
        ({"expires_in": 300, "issued_at": at(-300)}, 300),
        ({"expires_in": 300, "issued_at": at(-3600)}, 300),
        ({"expires_in": 300, "issued_at": at(3600)}, 300),
        ({"expires_in": 300, "issued_at": "0001-01-01T00:00:00Z"}, 300),
        ({"expires_in": 300, "issued_at": "9999-12-31T23:59:59Z"}, 300),
        ({"expires_in": 300, "issued_at": "0001-01-01T00:00:00+23:59"}, 300),
        ({"expires_in": 300, "issued_at": "2026-11-23T11:58:20"}, 200),
        ({"expires_in": 300, "issued_at": "yesterday"}, 300),
        ({"expires_in": 300, "issued_at": ""}, 300),
        ({"expires_in": 300, "issued_at": 0}, 300),
        ({"issued_at": at(-30)}, 30),
    ],
)
def test_a_lifetime_is_defined_for_every_answer(body: dict[str, Any], seconds: float) -> None:
    """A token taken as expired was a login for every request (goharbor/harbor#23753)."""
    assert token_lifetime(body, NOW) == seconds


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@given(JSON, JSON)
def test_any_answer_has_a_bounded_positive_lifetime(expires_in: object, issued_at: object) -> None:
    """Nothing raises, nothing is for ever."""
    body = {"expires_in": expires_in, "issued_at": issued_at}
    assert 0 < token_lifetime(body, NOW) <= MAX_LIFETIME_SECONDS


@given(st.binary(max_size=40) | JSON.map(lambda each: json.dumps(each).encode()))
def test_any_body_is_a_token_or_an_error(body: bytes) -> None:
    """Of whatever a token endpoint sends, one kind of error is left."""
    try:
        token = access_token(body, 200)
    except TokenExchangeError:
        return
    assert token.secret.reveal()
    assert token.lifetime_seconds > 0
