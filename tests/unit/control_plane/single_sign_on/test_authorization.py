"""The authorization code flow: what is asked, and which answers are taken."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from control_plane.single_sign_on.authorization import (
    DEFAULT_LIFETIME_SECONDS,
    CodeRequest,
    LoginFailedError,
    ProviderTokens,
    code_of,
)
from control_plane.single_sign_on.provider_metadata import ProviderMetadata
from shared.secret import Secret

ISSUER = "https://login.example/firm"
METADATA = ProviderMetadata(ISSUER, f"{ISSUER}/keys", says_issuer_in_responses=True)
SILENT = ProviderMetadata(ISSUER, f"{ISSUER}/keys")
REQUEST = CodeRequest("s-1", "n-1", Secret("v" * 43), "http://127.0.0.1:7/callback")
CANARY = "canary of a provider"


def test_the_challenge_is_the_one_of_the_standard() -> None:
    """RFC 7636 appendix B."""
    verifier = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    request = CodeRequest("s", "n", verifier, "http://127.0.0.1/callback")
    assert request.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a_browser_is_sent_with_everything_that_binds_the_answer() -> None:
    """And never with the verifier."""
    request = CodeRequest.new("http://127.0.0.1:7/callback")
    more = {"resource": "https://registry.example/api"}
    url = URL(request.url("https://login.example/auth?tenant=1", "cli", ("openid", "email"), more))
    assert dict(url.query) == {
        "tenant": "1",
        "response_type": "code",
        "client_id": "cli",
        "redirect_uri": "http://127.0.0.1:7/callback",
        "scope": "openid email",
        "state": request.state,
        "nonce": request.nonce,
        "code_challenge": request.challenge,
        "code_challenge_method": "S256",
        "resource": "https://registry.example/api",
    }
    assert request.verifier.reveal_text() not in str(url)
    assert len({request.state, request.nonce, request.verifier.reveal_text()}) == 3


@pytest.mark.parametrize(
    "response, words",
    [
        ({}, "another login"),
        ({"state": "s-2"}, "another login"),
        ({"iss": "https://other.example"}, "another provider"),
        ({"iss": f"{ISSUER}/"}, "another provider"),
        ({"error": "access_denied", "error_description": CANARY}, "said no"),
        ({"error": CANARY}, "not one of the standard's"),
        ({"code": ""}, "no code"),
        ({"code": "a" * 5000}, "no code"),
        ({"code": "a\nb"}, "no code"),
    ],
)
def test_any_other_answer_is_refused_in_words(response: dict[str, str], words: str) -> None:
    """Of another login, of another provider (mix-up), without a code."""
    good = {"state": "s-1", "iss": ISSUER, "code": "c-1"}
    assert code_of(good, REQUEST, METADATA) == Secret("c-1")
    given_response = {} if not response else good | response
    with pytest.raises(LoginFailedError, match=words) as refused:
        code_of(given_response, REQUEST, METADATA)
    assert CANARY not in str(refused.value)


def test_a_provider_that_says_who_it_is_has_to_say_so_each_time() -> None:
    """RFC 9207 section 2.4; of others it is not known."""
    answer = {"state": "s-1", "code": "c-1"}
    assert code_of(answer, REQUEST, SILENT) == Secret("c-1")
    with pytest.raises(LoginFailedError, match="of which provider"):
        code_of(answer, REQUEST, METADATA)


@given(st.dictionaries(st.sampled_from(["state", "iss", "code", "error"]), st.text()))
def test_any_answer_is_a_code_or_refused(response: dict[str, str]) -> None:
    """With one error."""
    with pytest.raises(LoginFailedError):
        code_of({**response, "state": response.get("state", "") + "x"}, REQUEST, METADATA)
    try:
        code_of({**response, "state": "s-1"}, REQUEST, SILENT)
    except LoginFailedError as error:
        assert str(error)  # noqa: PT017 - either way is right


ANSWERS = st.dictionaries(
    st.sampled_from(["access_token", "id_token", "refresh_token", "expires_in", "error"]),
    st.text(max_size=5)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.none()
    | st.booleans(),
)


@given(st.binary() | ANSWERS.map(orjson.dumps), st.integers(200, 599))
def test_any_token_answer_is_read_or_refused(body: bytes, status: int) -> None:
    """With one error; a lifetime is always one."""
    try:
        tokens = ProviderTokens.parse(status, body)
    except LoginFailedError:
        return
    assert 0 < tokens.lifetime_seconds <= 24 * 3600


@pytest.mark.parametrize(
    "status, answer, words",
    [
        (400, {"error": "invalid_grant", "error_description": CANARY}, "was used already"),
        (401, {"error": "invalid_client"}, "does not know the client"),
        (400, {"error": CANARY}, "not one of the standard's"),
        (200, {"access_token": "a b"}, "no token has"),
        (200, {"access_token": "a" * 20_000}, "no token has"),
        (200, {"id_token": 7}, "no token has"),
        (200, [], "not in JSON"),
    ],
)
def test_a_token_answer_that_is_none_is_told_in_words(status: int, answer: Any, words: str) -> None:
    """Nothing of the provider's own words is shown."""
    good = {"access_token": "a", "refresh_token": "r", "id_token": "i", "expires_in": 60}
    tokens = ProviderTokens.parse(200, orjson.dumps(good))
    assert (tokens.access_token, tokens.refresh_token) == (Secret("a"), Secret("r"))
    assert "a" not in repr(tokens).replace("ProviderTokens", "").replace("lifetime_seconds", "")
    assert ProviderTokens.parse(200, b"{}").lifetime_seconds == DEFAULT_LIFETIME_SECONDS
    with pytest.raises(LoginFailedError, match=words) as refused:
        ProviderTokens.parse(status, orjson.dumps(answer))
    assert CANARY not in str(refused.value)
