"""A signed token as somebody presents it: its form and its header are read, nothing is believed.

RFC 7515 section 7.1: header, payload and signature in base64url, with dots between them. What is
read here without a key decides which key is looked for, and refuses early what no key would verify.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Final, Self

import orjson
from attrs import field, frozen

from shared.outside_bytes import Party, reads_bytes_of
from shared.secret import Secret

MAX_TOKEN_CHARACTERS: Final = 8 * 1024  # one header of a request has no more
MAX_HEADER_CHARACTERS: Final = 2 * 1024  # of base64url; with a chain in `x5c` it is no longer read
MAX_KEY_ID_CHARACTERS: Final = 256
MAX_NESTED: Final = 16  # brackets in a header; real ones have one, or two with `x5c`
# RFC 7518 and RFC 9864: signatures with a public key alone. `none` and everything with a shared
# key (HS256) are not among them, so that no public key is taken for a shared one.
ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
_DOTS: Final = 2
_GROUP: Final = 4  # characters of base64


class TokenRefusedError(ValueError):
    """A token is not accepted; the message says why, and quotes nothing of it."""


@frozen
class PresentedToken:
    """A token of a provider, unverified."""

    secret: Secret = field(repr=False)  # the whole of it
    algorithm: str
    key_id: str | None
    type: str  # in lower case, without `application/`; empty if it says none
    unverified_claims: Mapping[str, Any] = field(repr=False)

    @classmethod
    @reads_bytes_of(Party.STRANGER)
    def parse(cls, text: str) -> Self:
        """Return the token; raise `TokenRefusedError` for anything else."""
        if len(text) > MAX_TOKEN_CHARACTERS:
            raise TokenRefusedError(f"it is longer than {MAX_TOKEN_CHARACTERS} characters")
        if text.count(".") != _DOTS:
            raise TokenRefusedError("it is no signed token of three parts")
        encoded_header, encoded_claims, _ = text.split(".")
        if len(encoded_header) > MAX_HEADER_CHARACTERS:
            raise TokenRefusedError("its header is too long")
        header = _object(encoded_header, "header", most_nested=MAX_NESTED)
        claims = _object(encoded_claims, "payload", most_nested=MAX_TOKEN_CHARACTERS)
        if "crit" in header:
            raise TokenRefusedError("its header asks for an extension that is not known here")
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise TokenRefusedError(
                "it is signed with an algorithm that is not accepted: a public key of RSA, an"
                " elliptic curve or Ed25519 has to verify it"
            )
        key_id = header.get("kid")
        if key_id is not None and not _is_key_id(key_id):
            raise TokenRefusedError("its header names a key in a form that no key's id has")
        kind = header.get("typ", "")
        if not isinstance(kind, str):
            raise TokenRefusedError("its header says its type in a form that no type has")
        return cls(
            Secret(text), algorithm, key_id, kind.lower().removeprefix("application/"), claims
        )

    @property
    def sha256(self) -> str:
        """The hexadecimal hash by which it is remembered."""
        return hashlib.sha256(self.secret.reveal()).hexdigest()


def looks_signed(text: str) -> bool:
    """Tell whether a text is meant to be a signed token, and no operator's."""
    return text.startswith("eyJ") and text.count(".") == _DOTS


def _object(part: str, what: str, *, most_nested: int) -> dict[str, Any]:
    """Return the object of a part; raise `TokenRefusedError`."""
    try:
        padded = part.encode("ascii") + b"=" * (-len(part) % _GROUP)
        content = base64.b64decode(padded, altchars=b"-_", validate=True)
        if content.count(b"[") + content.count(b"{") > most_nested:
            raise TokenRefusedError(f"its {what} is too deep")
        found = orjson.loads(content)
    except (binascii.Error, UnicodeEncodeError, orjson.JSONDecodeError):
        raise TokenRefusedError(f"its {what} cannot be read") from None
    if not isinstance(found, dict):
        raise TokenRefusedError(f"its {what} is no object")
    return found


def _is_key_id(key_id: object) -> bool:
    return isinstance(key_id, str) and 0 < len(key_id) <= MAX_KEY_ID_CHARACTERS
