"""What the claims of a verified token have to say, for each kind of token. Pure.

An access token (RFC 9068) is of this issuer, for our audience, and of a person. RFC 9068 marks it
with the type `at+jwt`. Keycloak, Entra ID, Okta and Dex do not send that type. So a token without a
type, or of the type `JWT`, is accepted too, unless it says that it is something else:

- an ID token has `nonce`, `at_hash` or `c_hash` (OpenID Connect Core section 2), or says `typ: ID`
  (Keycloak) or `token_use: id` (Cognito);
- a logout token has `events` (OpenID Connect Back-Channel Logout section 2.4).

Our audience is no client's id, and every ID token has a client's id as its audience. A provider
that puts our audience into ID tokens as well has to be one that marks the one or the other.

A token that a client got for itself (client credentials) is no person's. Whoever holds the client's
secret would be somebody else than themselves, and their own second approver. Machines have
operators' tokens.
"""

import hmac
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from control_plane.operators.person import Person
from control_plane.single_sign_on.presented_token import TokenRefusedError

CLOCK_SKEW_SECONDS: Final = 60.0  # by which the provider's clock and ours may differ
MAX_AGE_SECONDS: Final = 24 * 3600.0  # of an access token, whatever end it claims
MAX_DISPLAY_NAME_CHARACTERS: Final = 128
MAX_SESSION_ID_CHARACTERS: Final = 255  # of `sid` and `jti`
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_OF_ID_TOKENS: Final = ("nonce", "at_hash", "c_hash")
_MAX_TIME: Final = 253_402_300_799.0  # the end of the year 9999
_ACCESS_TOKEN_TYPE: Final = "at+jwt"  # noqa: S105  # RFC 9068 section 2.1
_LOGOUT_TOKEN_TYPE: Final = "logout+jwt"  # noqa: S105  # Back-Channel Logout section 2.4

Claims = Mapping[str, Any]


@frozen
class VerifiedPerson:
    """Whom a token of the provider is about, when it was issued, and until when it holds."""

    person: Person
    display_name: str | None
    issued_at: float  # Unix seconds, as the other times
    expires_at: float
    session_id: str | None  # `sid`, if the provider tells it


@frozen
class ProviderLogout:
    """Who was logged out at the provider: all of a person's sessions, or one of them."""

    person: Person | None
    session_id: str | None
    issued_at: float
    token_id: str | None = None  # `jti`: the same one may be told again


def require_access_token(kind: str, claims: Claims, *, issuer: str, audience: str) -> None:
    """Raise `TokenRefusedError` unless it is an access token of the issuer for the audience."""
    if kind == _LOGOUT_TOKEN_TYPE or "events" in claims:
        raise TokenRefusedError("it is a logout token, and not an access token")
    if kind not in {_ACCESS_TOKEN_TYPE, "jwt", ""}:
        raise TokenRefusedError("its type is another than an access token's")
    if kind != _ACCESS_TOKEN_TYPE and _says_it_is_no_access_token(claims):
        raise TokenRefusedError(
            "it is an ID token or a refresh token: the API takes access tokens alone"
        )
    _require_issuer(claims, issuer)
    _require_audience(
        claims, audience, "it is for another audience than CONTROL_PLANE_OIDC_AUDIENCE"
    )


def person_of_access_token(claims: Claims, *, name_claim: str, at: datetime) -> VerifiedPerson:
    """Return whose access token it is; raise `TokenRefusedError`."""
    if _is_of_a_client(claims):
        raise TokenRefusedError(
            "it was given to a client and not to a person; machines use operators' tokens"
        )
    person = _person(claims, name_claim, at)
    if at.timestamp() - person.issued_at >= MAX_AGE_SECONDS + CLOCK_SKEW_SECONDS:
        raise TokenRefusedError("it was issued more than a day ago: log in again")
    return person


def person_of_id_token(
    claims: Claims, *, issuer: str, client_id: str, nonce: str, name_claim: str, at: datetime
) -> VerifiedPerson:
    """Return who logged in; raise `TokenRefusedError` (OpenID Connect Core section 3.1.3.7)."""
    if "events" in claims:
        raise TokenRefusedError("the provider sent a logout token in place of an ID token")
    _require_issuer(claims, issuer)
    _require_audience(claims, client_id, "the provider's ID token is for another client")
    audiences, party = claims["aud"], claims.get("azp")
    is_for_others = isinstance(audiences, list) and len(audiences) > 1
    if (is_for_others or party is not None) and party != client_id:
        raise TokenRefusedError("the provider's ID token was issued to another client")
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise TokenRefusedError("the provider's ID token answers another login than this one")
    return _person(claims, name_claim, at)


def logout_of(
    claims: Claims, kind: str, *, issuer: str, client_id: str, at: datetime
) -> ProviderLogout:
    """Return who was logged out; raise `TokenRefusedError` (Back-Channel Logout section 2.6)."""
    if kind not in {_LOGOUT_TOKEN_TYPE, "jwt", ""}:
        raise TokenRefusedError("its type is another than a logout token's")
    _require_issuer(claims, issuer)
    _require_audience(claims, client_id, "it is for another client")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise TokenRefusedError("it is no logout token: it does not tell of a logout")
    if "nonce" in claims:
        raise TokenRefusedError("it is no logout token: it has a nonce")
    issued_at = _times(claims, at, needs_end=False)
    subject, session_id = claims.get("sub"), _session_id(claims)
    person = None if subject is None else _identity(claims)
    if person is None and session_id is None:
        raise TokenRefusedError("it says neither who was logged out nor which session ended")
    return ProviderLogout(person, session_id, issued_at, _id(claims, "jti"))


def _person(claims: Claims, name_claim: str, at: datetime) -> VerifiedPerson:
    issued_at = _times(claims, at)
    return VerifiedPerson(
        _identity(claims),
        display_name(claims, name_claim),
        issued_at,
        float(claims["exp"]),
        _session_id(claims),
    )


def display_name(claims: Claims, name_claim: str) -> str | None:
    """Return how people call the person; None if the provider does not vouch for an e-mail address.

    It decides nothing.
    """
    name = claims.get(name_claim)
    if name_claim == "email" and claims.get("email_verified") is not True:
        return None
    if not isinstance(name, str) or not 0 < len(name) <= MAX_DISPLAY_NAME_CHARACTERS:
        return None
    return name if name.isprintable() and name.strip() else None


def _identity(claims: Claims) -> Person:
    subject = claims.get("sub")
    if not isinstance(subject, str):
        raise TokenRefusedError("it does not say whose it is (`sub`)")
    person = Person(claims["iss"], subject)
    if not person.is_bounded or not subject.isprintable():
        raise TokenRefusedError("it says whose it is in a form that no subject has")
    return person


def _session_id(claims: Claims) -> str | None:
    return _id(claims, "sid")


def _id(claims: Claims, name: str) -> str | None:
    found = claims.get(name)
    if not isinstance(found, str) or not 0 < len(found) <= MAX_SESSION_ID_CHARACTERS:
        return None
    return found if found.isprintable() else None  # Postgres keeps no NUL


def _require_issuer(claims: Claims, issuer: str) -> None:
    if claims.get("iss") != issuer:
        raise TokenRefusedError("it is of another issuer than CONTROL_PLANE_OIDC_ISSUER")


def _require_audience(claims: Claims, audience: str, otherwise: str) -> None:
    said = claims.get("aud")
    if said != audience and not (isinstance(said, list) and audience in said):
        raise TokenRefusedError(otherwise)


def _times(claims: Claims, at: datetime, *, needs_end: bool = True) -> float:
    """Return when it was issued; raise `TokenRefusedError` if it does not hold at this time."""
    present = at.timestamp()
    if needs_end or "exp" in claims:
        end = _time(claims, "exp", "it does not say until when it holds")
        if end + CLOCK_SKEW_SECONDS <= present:
            raise TokenRefusedError("it has expired: log in again")
    if "nbf" in claims and _time(claims, "nbf", _ODD_TIME) - CLOCK_SKEW_SECONDS > present:
        raise TokenRefusedError(_EARLY)
    issued_at = _time(claims, "iat", "it does not say when it was issued")
    if issued_at - CLOCK_SKEW_SECONDS > present:
        raise TokenRefusedError(_EARLY)
    return issued_at


_EARLY: Final = "it is not valid yet: the provider's clock and this machine's differ"
_ODD_TIME: Final = "it says since when it holds in a form that no time has"


def _time(claims: Claims, name: str, otherwise: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefusedError(otherwise)
    if not math.isfinite(value) or not 0 <= value <= _MAX_TIME:
        raise TokenRefusedError(otherwise)
    return float(value)


def _says_it_is_no_access_token(claims: Claims) -> bool:
    return (
        any(name in claims for name in _OF_ID_TOKENS)
        or claims.get("typ", "Bearer") != "Bearer"
        or claims.get("token_use", "access") != "access"
    )


def _is_of_a_client(claims: Claims) -> bool:
    """Tell whether a client got the token for itself, in the words of each provider."""
    subject = claims.get("sub")
    clients = [claims.get(name) for name in ("client_id", "azp", "cid", "appid")]
    named = claims.get("preferred_username")
    return (
        (isinstance(subject, str) and subject in clients)  # RFC 9068 section 2.2, Okta
        or claims.get("idtyp") == "app"  # Entra ID
        or claims.get("gty") == "client-credentials"  # Auth0
        or (isinstance(named, str) and named.startswith("service-account-"))  # Keycloak
    )
