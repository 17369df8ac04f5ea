"""The authorization code flow with PKCE: what is asked of a browser, and what comes back. Pure.

RFC 6749 section 4.1, RFC 7636 (PKCE, `S256` alone), RFC 9207 (`iss` in the response), RFC 8707
(`resource`). The console and `control-plane login` log in by it.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any, Final, Self

import orjson
from attrs import field, frozen
from yarl import URL

from control_plane.single_sign_on.provider_metadata import ProviderMetadata
from shared.outside_bytes import Party, reads_bytes_of
from shared.secret import Secret

RANDOM_BYTES: Final = 32  # of state, nonce and verifier, each
MAX_CODE_CHARACTERS: Final = 4096  # Entra ID's have 1,500
MAX_PROVIDER_TOKEN_CHARACTERS: Final = 16 * 1024  # of an ID token or a refresh token
MAX_LIFETIME_SECONDS: Final = 24 * 3600.0  # that an access token is used for, whatever is answered
DEFAULT_LIFETIME_SECONDS: Final = 60.0  # if the answer does not say it
OFFLINE_ACCESS: Final = "offline_access"
_OTHER: Final = "the provider did not let you log in"
# RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6, RFC 8628 section 3.5. What a
# provider says besides is not shown.
_WORDS: Final[Mapping[str, str]] = {
    "access_denied": "you, or the provider, said no",
    "login_required": "the provider wants you to log in",
    "consent_required": "the provider wants your consent",
    "interaction_required": "the provider wants to ask you something",
    "invalid_scope": "the provider does not know a scope of CONTROL_PLANE_OIDC_SCOPES",
    "invalid_target": (
        "the provider does not know CONTROL_PLANE_OIDC_AUDIENCE as a resource, or not for this"
        " client"
    ),
    "invalid_client": (
        "the provider does not know the client, or not with this secret: its id and secret at the"
        " provider and in CONTROL_PLANE_OIDC_* are to be compared"
    ),
    "unauthorized_client": "the provider does not allow this kind of login to the client",
    "invalid_grant": "the provider says that this login has ended, or was used already",
    "invalid_request": "the provider does not understand the request; are the redirect URIs right?",
    "temporarily_unavailable": "the provider cannot do it at present",
    "server_error": "something is wrong at the provider",
    "expired_token": "it took too long, and the code is not good any more",
}


class LoginFailedError(ValueError):
    """The login did not come through; the message says why, in our own words.

    `code` is the provider's, if it is one of the standards'.
    """

    def __init__(self, message: str, code: str = "") -> None:
        """Hold the code."""
        super().__init__(message)
        self.code = code


@frozen
class CodeRequest:
    """One login that began: what the answer has to repeat, and what only we know."""

    state: str
    nonce: str
    verifier: Secret = field(repr=False)
    redirect_uri: str

    @classmethod
    def new(cls, redirect_uri: str) -> Self:
        """Return a login of its own."""
        state, nonce, verifier = (secrets.token_urlsafe(RANDOM_BYTES) for _ in range(3))
        return cls(state, nonce, Secret(verifier), redirect_uri)

    @property
    def challenge(self) -> str:
        """What the provider is shown of the verifier (RFC 7636 section 4.2)."""
        digest = hashlib.sha256(self.verifier.reveal()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def url(
        self, endpoint: str, client_id: str, scopes: tuple[str, ...], more: Mapping[str, str]
    ) -> str:
        """Return where the browser is sent."""
        asked = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(scopes),
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            **more,
        }
        return str(URL(endpoint, encoded=True).extend_query(asked))

    def is_answered_by(self, state: str | None) -> bool:
        """Tell whether a response is to this login, and to no other."""
        return state is not None and hmac.compare_digest(self.state.encode(), state.encode())

    def token_form(self, code: Secret, client_id: str, more: Mapping[str, str]) -> dict[str, str]:
        """Return the form that a code is exchanged with."""
        return {
            "grant_type": "authorization_code",
            "code": code.reveal_text(),
            "redirect_uri": self.redirect_uri,
            "client_id": client_id,
            "code_verifier": self.verifier.reveal_text(),
            **more,
        }


@reads_bytes_of(Party.STRANGER)
def code_of(
    response: Mapping[str, str], request: CodeRequest, metadata: ProviderMetadata
) -> Secret:
    """Return the code of a response to a login; raise `LoginFailedError`.

    The response has to be to this login (`state`) and, if the provider says who it is, of this
    provider (`iss`, RFC 9207): a code of another provider is not shown to this one (mix-up).
    """
    if not request.is_answered_by(response.get("state")):
        raise LoginFailedError("this answer is to another login than the one that began here")
    issuer = response.get("iss")
    if issuer is None and metadata.says_issuer_in_responses:
        raise LoginFailedError("the answer does not say of which provider it is, as it has to")
    if issuer is not None and issuer != metadata.issuer:
        raise LoginFailedError("the answer is of another provider than the one that was asked")
    if "error" in response:
        raise refusal(response["error"])
    code = response.get("code", "")
    if not 0 < len(code) <= MAX_CODE_CHARACTERS or not code.isascii() or not code.isprintable():
        raise LoginFailedError("the provider's answer has no code")
    return Secret(code)


@frozen
class ProviderTokens:
    """What the provider gave for a code or a refresh token."""

    access_token: Secret | None = field(repr=False)
    id_token: str | None = field(repr=False)
    refresh_token: Secret | None = field(repr=False)
    lifetime_seconds: float

    @classmethod
    @reads_bytes_of(Party.REGISTRY)
    def parse(cls, status: int, body: bytes) -> Self:
        """Return the tokens of an answer; raise `LoginFailedError` (RFC 6749 section 5)."""
        found = read_answer(status, body)
        id_token = _token(found, "id_token")
        return cls(
            _secret(_token(found, "access_token")),
            id_token,
            _secret(_token(found, "refresh_token")),
            lifetime(found.get("expires_in")),
        )


def read_answer(status: int, body: bytes) -> dict[str, Any]:
    """Return the object of a good answer; raise `LoginFailedError` for any other."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise LoginFailedError(f"the provider answers {status}, and not in JSON")
    if status != 200 or "error" in found:  # noqa: PLR2004 - HTTP's OK
        raise refusal(found.get("error"))
    return found


def refusal(code: object) -> LoginFailedError:
    """Return the error of a provider's code, in our own words."""
    if isinstance(code, str) and code in _WORDS:
        return LoginFailedError(f"{_OTHER}: {_WORDS[code]} ({code})", code)
    return LoginFailedError(f"{_OTHER}, for a reason that is not one of the standard's")


def lifetime(seconds: object) -> float:
    """Return for how long an answer's token is used."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        return DEFAULT_LIFETIME_SECONDS
    return min(float(seconds), MAX_LIFETIME_SECONDS)


def _token(found: Mapping[str, Any], name: str) -> str | None:
    """Return a token, or none; raise `LoginFailedError` for what no header could carry."""
    token = found.get(name)
    if token is None:
        return None
    is_text = isinstance(token, str) and token.isascii() and token.isprintable()
    if not is_text or not 0 < len(token) <= MAX_PROVIDER_TOKEN_CHARACTERS or " " in token:
        raise LoginFailedError("the provider gave a token in a form that no token has")
    return str(token)


def _secret(token: str | None) -> Secret | None:
    return None if token is None else Secret(token)
