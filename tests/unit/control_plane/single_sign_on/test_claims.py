"""What a token has to say, for each kind of token."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.operators.permissions import Role
from control_plane.operators.person import Person
from control_plane.single_sign_on.claims import (
    LOGOUT_EVENT,
    display_name,
    logout_of,
    person_of_access_token,
    person_of_id_token,
    require_access_token,
)
from control_plane.single_sign_on.presented_token import TokenRefusedError
from control_plane.single_sign_on.role_mapping import InvalidRoleMappingError, RoleMapping

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
NOW = AT.timestamp()
ISSUER, AUDIENCE, CLIENT = "https://login.example/firm", "https://registry.example/api", "console"
ACCESS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": NOW - 10, "exp": NOW + 300}
ID = {**ACCESS, "aud": CLIENT, "nonce": "n-1"}
LOGOUT = {
    "iss": ISSUER,
    "aud": CLIENT,
    "sub": "ada",
    "iat": NOW - 10,
    "exp": NOW + 60,
    "jti": "1",
    "events": {LOGOUT_EVENT: {}},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = st.sampled_from([*LOGOUT, "nbf", "nonce", "azp", "sid", "email", "typ", "token_use"])


def access_token(kind: str = "at+jwt", **claims: Any) -> Person:
    """Return whose access token it is."""
    said = {name: value for name, value in {**ACCESS, **claims}.items() if value != "absent"}
    require_access_token(kind, said, issuer=ISSUER, audience=AUDIENCE)
    return person_of_access_token(said, name_claim="email", at=AT).person


@pytest.mark.parametrize(
    "kind, claims",
    [
        ("at+jwt", {}),
        ("at+jwt", {"aud": [AUDIENCE, "another"]}),
        ("at+jwt", {"auth_time": 1, "acr": "2"}),
        ("jwt", {"typ": "Bearer", "azp": "cli"}),  # Keycloak
        ("jwt", {"scp": "access", "appid": "cli", "idtyp": "user"}),  # Entra ID
        ("", {"cid": "cli", "scp": ["access"]}),  # Okta
        ("at+jwt", {"exp": NOW - 59}),
        ("at+jwt", {"iat": NOW + 59, "nbf": NOW + 59}),
    ],
)
def test_access_tokens_as_providers_send_them(kind: str, claims: dict[str, Any]) -> None:
    """With the type of RFC 9068 or without; clocks may differ by a minute."""
    assert access_token(kind, **claims) == Person(ISSUER, "ada")


@pytest.mark.parametrize(
    "kind, claims, words",
    [
        ("at+jwt", {"iss": "https://other.example"}, "another issuer"),
        ("at+jwt", {"iss": f"{ISSUER}/"}, "another issuer"),
        ("at+jwt", {"aud": CLIENT}, "another audience"),
        ("at+jwt", {"aud": [CLIENT]}, "another audience"),
        ("at+jwt", {"aud": {AUDIENCE: 1}}, "another audience"),
        ("at+jwt", {"aud": f"{AUDIENCE}/more"}, "another audience"),
        ("at+jwt", {"aud": "absent"}, "another audience"),
        ("at+jwt", {"exp": NOW - 60}, "has expired"),
        ("at+jwt", {"exp": "absent"}, "until when"),
        ("at+jwt", {"exp": str(NOW)}, "until when"),
        ("at+jwt", {"exp": float("nan")}, "until when"),
        ("at+jwt", {"exp": True}, "until when"),
        ("at+jwt", {"iat": NOW + 61}, "not valid yet"),
        ("at+jwt", {"nbf": NOW + 61}, "not valid yet"),
        ("at+jwt", {"iat": "absent"}, "when it was issued"),
        ("at+jwt", {"iat": NOW - 25 * 3600}, "more than a day ago"),
        ("at+jwt", {"sub": "absent"}, "whose it is"),
        ("at+jwt", {"sub": 7}, "whose it is"),
        ("at+jwt", {"sub": ""}, "whose it is"),
        ("at+jwt", {"sub": "a" * 256}, "whose it is"),
        ("at+jwt", {"sub": "ada\n"}, "whose it is"),
        ("at+jwt", {"client_id": "ada"}, "given to a client"),
        ("jwt", {"azp": "ada"}, "given to a client"),
        ("", {"cid": "ada"}, "given to a client"),
        ("jwt", {"idtyp": "app"}, "given to a client"),
        ("jwt", {"preferred_username": "service-account-ci"}, "given to a client"),
        ("jwt", {"nonce": "n-1"}, "ID token"),
        ("", {"at_hash": "x"}, "ID token"),
        ("jwt", {"typ": "ID"}, "ID token"),
        ("jwt", {"typ": "Refresh"}, "refresh token"),
        ("jwt", {"token_use": "id"}, "ID token"),
        ("jwt", {"events": {}}, "logout token"),
        ("logout+jwt", {}, "logout token"),
        ("dpop+jwt", {}, "another than an access token's"),
    ],
)
def test_any_other_access_token_is_refused_in_words(
    kind: str, claims: dict[str, Any], words: str
) -> None:
    """Each of them may be signed well."""
    with pytest.raises(TokenRefusedError, match=words):
        access_token(kind, **claims)


def id_token(**claims: Any) -> Person:
    """Return who logged in."""
    said = {name: value for name, value in {**ID, **claims}.items() if value != "absent"}
    return person_of_id_token(
        said, issuer=ISSUER, client_id=CLIENT, nonce="n-1", name_claim="email", at=AT
    ).person


@pytest.mark.parametrize(
    "claims, words",
    [
        ({"nonce": "n-2"}, "another login"),
        ({"nonce": "absent"}, "another login"),
        ({"nonce": 1}, "another login"),
        ({"aud": "another"}, "another client"),
        ({"aud": [CLIENT, "another"]}, "another client"),
        ({"azp": "another"}, "another client"),
        ({"iss": "https://other.example"}, "another issuer"),
        ({"exp": NOW - 61}, "has expired"),
        ({"events": {LOGOUT_EVENT: {}}}, "logout token"),
    ],
)
def test_an_id_token_of_another_login_is_refused(claims: dict[str, Any], words: str) -> None:
    """OpenID Connect Core section 3.1.3.7."""
    assert id_token() == Person(ISSUER, "ada")
    assert id_token(aud=[CLIENT, "another"], azp=CLIENT) == Person(ISSUER, "ada")
    with pytest.raises(TokenRefusedError, match=words):
        id_token(**claims)


@pytest.mark.parametrize(
    "kind, claims, words",
    [
        ("jwt", {"events": "absent"}, "no logout token"),
        ("jwt", {"events": {"other": {}}}, "no logout token"),
        ("jwt", {"nonce": "n-1"}, "has a nonce"),
        ("jwt", {"aud": "another"}, "another client"),
        ("jwt", {"iss": "https://other.example"}, "another issuer"),
        ("jwt", {"exp": NOW - 61}, "has expired"),
        ("jwt", {"sub": "absent"}, "neither who"),
        ("at+jwt", {}, "another than a logout token's"),
    ],
)
def test_a_logout_token_is_one(kind: str, claims: dict[str, Any], words: str) -> None:
    """Back-Channel Logout section 2.6."""
    good = logout_of(LOGOUT, "logout+jwt", issuer=ISSUER, client_id=CLIENT, at=AT)
    assert (good.person, good.session_id) == (Person(ISSUER, "ada"), None)
    said = {name: value for name, value in {**LOGOUT, **claims}.items() if value != "absent"}
    with pytest.raises(TokenRefusedError, match=words):
        logout_of(said, kind, issuer=ISSUER, client_id=CLIENT, at=AT)


@given(NAMES, JSON, st.sampled_from(["at+jwt", "jwt", "", "logout+jwt"]))
def test_any_claim_is_read_or_refused_with_one_error(name: str, value: object, kind: str) -> None:
    """Whatever a provider signs."""
    for read in (
        lambda: access_token(kind, **{name: value}),
        lambda: id_token(**{name: value}),
        lambda: logout_of({**LOGOUT, name: value}, kind, issuer=ISSUER, client_id=CLIENT, at=AT),
    ):
        with suppress(TokenRefusedError):
            assert read() is not None


@pytest.mark.parametrize(
    "claims, name_claim, shown",
    [
        ({"email": "ada@firm.example", "email_verified": True}, "email", "ada@firm.example"),
        ({"email": "ada@firm.example"}, "email", None),
        ({"email": "ada@firm.example", "email_verified": "true"}, "email", None),
        ({"name": "Ada Lovelace"}, "name", "Ada Lovelace"),
        ({"name": "Ada\u202e"}, "name", None),
        ({"name": " "}, "name", None),
        ({"name": ["Ada"]}, "name", None),
        ({"name": "a" * 129}, "name", None),
    ],
)
def test_a_name_is_one_that_the_provider_vouches_for(
    claims: dict[str, Any], name_claim: str, shown: str | None
) -> None:
    """Or none; it decides nothing."""
    assert display_name(claims, name_claim) == shown


ROLES = RoleMapping.parse('{"viewers":"viewer","approvers":"approver","boss":"admin"}')


@pytest.mark.parametrize(
    "claims, claim, role",
    [
        ({"roles": ["viewers", "approvers"]}, "roles", Role.APPROVER),
        ({"roles": "boss"}, "roles", Role.ADMIN),
        ({"realm_access": {"roles": ["viewers"]}}, "realm_access.roles", Role.VIEWER),
        ({"https://firm.example/roles": ["boss"]}, "https://firm.example/roles", Role.ADMIN),
        ({"roles": ["others"]}, "roles", None),
        ({"roles": {"boss": True}}, "roles", None),
        ({"roles": [["boss"], 1, None]}, "roles", None),
        ({"roles": "viewers approvers"}, "roles", None),
        ({}, "roles", None),
        ({"realm_access": "boss"}, "realm_access.roles", None),
        ({"roles": ["x"] * 1024 + ["boss"]}, "roles", None),
    ],
)
def test_the_highest_role_of_a_claims_values(
    claims: dict[str, Any], claim: str, role: Role | None
) -> None:
    """Of a claim by its whole name, or by its path; nobody has a role by chance."""
    assert ROLES.role_of(claims, claim) == role


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"a":"king"}', '{"a":1}', '{"":"viewer"}', "{"])
def test_a_mapping_that_is_none_is_refused(text: str) -> None:
    """And it is not quoted."""
    with pytest.raises(InvalidRoleMappingError):
        RoleMapping.parse(text)
    assert RoleMapping.parse(str(ROLES)) == ROLES


@pytest.mark.parametrize("session_id", ["", "s" * 256, "a\0b", "a\nb", 7, None])
def test_a_session_of_an_odd_name_is_none(session_id: object) -> None:
    """The database could not hold it; the person's logout ends what is theirs all the same."""
    person = person_of_id_token(
        {**ID, "sid": session_id},
        issuer=ISSUER,
        client_id=CLIENT,
        nonce="n-1",
        name_claim="email",
        at=AT,
    )
    assert person.session_id is None
    told = logout_of(
        {**LOGOUT, "sid": session_id}, "logout+jwt", issuer=ISSUER, client_id=CLIENT, at=AT
    )
    assert (told.person, told.session_id) == (Person(ISSUER, "ada"), None)
