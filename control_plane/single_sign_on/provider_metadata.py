"""What a provider says of itself, and its public keys, read from its answers. Pure.

OpenID Connect Discovery 1.0 and RFC 8414: an issuer publishes its endpoints at
`/.well-known/openid-configuration`. The issuer that the answer names has to be the one that was
asked. RFC 7517: its keys are a JWK Set.
"""

from collections.abc import Mapping
from typing import Any, Final, Self
from urllib.parse import urlsplit

import orjson
from attrs import field, frozen
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, KeySet, OKPKey, RSAKey

from control_plane.operators.person import MAX_ISSUER_CHARACTERS
from control_plane.single_sign_on.presented_token import MAX_KEY_ID_CHARACTERS
from shared.outside_bytes import Party, reads_bytes_of
from shared.setting_types import parse_http_url

WELL_KNOWN: Final = "/.well-known/openid-configuration"
MAX_KEYS: Final = 64  # that are looked at; providers publish two to six
MIN_RSA_BITS: Final = 2048  # RFC 7518 section 3.3
MAX_RSA_BITS: Final = 8192  # 0.3 ms to verify with
MAX_URL_CHARACTERS: Final = 2048
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class ProviderAnswerError(ValueError):
    """The provider's answer is not what the standard says; the message quotes nothing of it."""


def parse_issuer(text: str) -> str:
    """Return the issuer's URL as it is written; raise `ValueError`.

    OpenID Connect Core section 2: https, without query and fragment. Plain HTTP is for a provider
    on this very machine.
    """
    parse_http_url(text)
    if len(text) > MAX_ISSUER_CHARACTERS or not is_safe_url(text):
        raise ValueError("not an issuer")
    return text


def is_safe_url(text: str) -> bool:
    """Tell whether a URL is https, or http on this very machine."""
    parts = urlsplit(text)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK_NAMES)


@frozen
class ProviderMetadata:
    """Where a provider is asked for what."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    end_session_endpoint: str | None = None
    revocation_endpoint: str | None = None
    scopes: frozenset[str] = field(factory=frozenset)
    token_endpoint_auth_methods: frozenset[str] = field(factory=frozenset)
    says_issuer_in_responses: bool = False  # RFC 9207

    @classmethod
    @reads_bytes_of(Party.REGISTRY)
    def parse(cls, body: bytes, issuer: str) -> Self:
        """Return the metadata of an issuer's answer; raise `ProviderAnswerError`."""
        found = _object(body, "its discovery document")
        if found.get("issuer") != issuer:
            raise ProviderAnswerError(
                "its discovery document names another issuer than the one that was asked"
            )
        jwks_uri = _endpoint(found, "jwks_uri")
        if jwks_uri is None:
            raise ProviderAnswerError("its discovery document does not say where its keys are")
        return cls(
            issuer,
            jwks_uri,
            _endpoint(found, "authorization_endpoint"),
            _endpoint(found, "token_endpoint"),
            _endpoint(found, "device_authorization_endpoint"),
            _endpoint(found, "end_session_endpoint"),
            _endpoint(found, "revocation_endpoint"),
            _texts(found, "scopes_supported"),
            _texts(found, "token_endpoint_auth_methods_supported"),
            found.get("authorization_response_iss_parameter_supported") is True,
        )


@reads_bytes_of(Party.REGISTRY)
def parse_keys(body: bytes) -> KeySet:
    """Return the public keys that may verify a signature; raise `ProviderAnswerError`.

    Keys for encryption, shared keys, keys of other kinds and keys that are too short are left out.
    """
    listed = _object(body, "its list of keys").get("keys")
    if not isinstance(listed, list):
        raise ProviderAnswerError("its list of keys is none")
    keys = [key for each in listed[:MAX_KEYS] if (key := _key(each)) is not None]
    if not keys:
        raise ProviderAnswerError("it publishes no key that may verify a signature here")
    return KeySet(keys)


def _key(value: object) -> Key | None:
    if not isinstance(value, dict) or value.get("use", "sig") != "sig":
        return None
    key_id = value.get("kid", "")
    if not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_CHARACTERS:
        return None
    try:
        key = JWKRegistry.import_key(value)
        key.ensure_kid()
        return key if _may_verify(key) else None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None  # a key of a form that is not known here; others may be of one that is


def _may_verify(key: Key) -> bool:
    match key:
        case RSAKey():
            return MIN_RSA_BITS <= key.public_key.key_size <= MAX_RSA_BITS
        case ECKey() | OKPKey():
            return True
        case _:
            return False


def _object(body: bytes, what: str) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ProviderAnswerError(f"{what} is no JSON") from None
    if not isinstance(found, dict):
        raise ProviderAnswerError(f"{what} is no object")
    return found


def _endpoint(found: Mapping[str, Any], name: str) -> str | None:
    """Return an endpoint, or none; raise `ProviderAnswerError` for what is no such URL."""
    url = found.get(name)
    if url is None:
        return None
    if not isinstance(url, str) or len(url) > MAX_URL_CHARACTERS or not _is_endpoint(url):
        raise ProviderAnswerError(f"its discovery document says `{name}` in a form that no URL has")
    return url


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_plain = url.isascii() and url.isprintable() and " " not in url
        named = bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        return False
    return is_plain and named and not parts.fragment and is_safe_url(url)


def _texts(found: Mapping[str, Any], name: str) -> frozenset[str]:
    listed = found.get(name)
    if not isinstance(listed, list):
        return frozenset()
    return frozenset(each for each in listed if isinstance(each, str))
