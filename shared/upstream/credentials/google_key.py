"""A Google service account's key, strictly read: what is kept of it, and what is refused.

A key's own `token_uri` would choose who gets the signed assertion, a universe domain would choose
the audience, and other types of credential run programs or fetch files. So only
`type=service_account` is accepted, and of it only who it is and the private key are kept.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, Self

import orjson
from attrs import field, frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.auth import crypt

from shared.safe_message import SafeMessage
from shared.secret import Secret
from shared.several_problems import SeveralProblemsError

# A PEM of RSA 4096 has 3.3 thousand, and checking it takes 0.3 s; what is longer takes far longer.
MAX_PRIVATE_KEY_CHARACTERS: Final = 4 * 1024
MIN_RSA_BITS: Final = 2048  # what Google issues; less is no key of theirs
DEFAULT_UNIVERSE: Final = "googleapis.com"

_FORMS: Final = {
    "client_email": re.compile(
        r"[a-z0-9._-]{1,64}@[a-z0-9.-]{1,190}\.gserviceaccount\.com", re.ASCII
    ),
    "project_id": re.compile(r"[a-z0-9.:-]{1,100}", re.ASCII),  # `example.com:project` exists
    "private_key_id": re.compile(r"[0-9a-f]{1,64}", re.ASCII),
}
# What Google's own key files have; a field beside them is no part of a service account's key.
_KNOWN_FIELDS: Final = frozenset(
    {
        "type",
        "project_id",
        "private_key_id",
        "private_key",
        "client_email",
        "client_id",
        "auth_uri",
        "token_uri",
        "auth_provider_x509_cert_url",
        "client_x509_cert_url",
        "universe_domain",
    }
)


class InvalidServiceAccountKeyError(SafeMessage, SeveralProblemsError):
    """The JSON is not a service account's key; each problem names its field, never a value."""


@frozen
class GoogleServiceAccountKey:
    """Who the account is, and the private key that signs its assertions."""

    client_email: str
    project_id: str
    private_key_id: str
    private_key: Secret = field(repr=False)

    @classmethod
    def parse(cls, key: Mapping[str, object]) -> Self:
        """Return the key of the JSON object; raise `InvalidServiceAccountKeyError`.

        Checking the RSA key takes 0.05 to 0.3 s of CPU, with Python's interpreter held.
        """
        parsed = cls._of_fields(key)
        _load_rsa(parsed.private_key, is_checked=False)
        return parsed

    @classmethod
    def from_secret(cls, secret: Secret) -> Self:
        """Return the key that `to_secret` made of a parsed one, without checking RSA again.

        Raises `InvalidServiceAccountKeyError`.
        """
        try:
            key = orjson.loads(secret.reveal())
        except orjson.JSONDecodeError:
            raise InvalidServiceAccountKeyError("the stored key is not JSON") from None
        if not isinstance(key, dict):
            raise InvalidServiceAccountKeyError("the stored key is not a JSON object")
        parsed = cls._of_fields(key)
        _load_rsa(parsed.private_key, is_checked=True)
        return parsed

    @classmethod
    def _of_fields(cls, key: Mapping[str, object]) -> Self:
        if problems := [*_problems(key)]:
            raise InvalidServiceAccountKeyError(*problems)
        email, project, key_id, pem = (str(key[name]) for name in (*_FORMS, "private_key"))
        return cls(email, project, key_id, Secret(pem))

    def signer(self) -> crypt.RSASigner:
        """Return what signs assertions with the key; it prints nothing of it."""
        private_key = _load_rsa(self.private_key, is_checked=True)
        return crypt.RSASigner(private_key, self.private_key_id)  # type: ignore[no-untyped-call] # google-auth

    def to_secret(self) -> Secret:
        """Return what is sealed: the kept fields alone, as JSON."""
        kept = {
            "type": "service_account",
            "client_email": self.client_email,
            "project_id": self.project_id,
            "private_key_id": self.private_key_id,
            "private_key": self.private_key.reveal_text(),
        }
        return Secret(orjson.dumps(kept, option=orjson.OPT_SORT_KEYS))


def _problems(key: Mapping[str, object]) -> Iterator[str]:
    """Yield a sentence for every field that is wrong."""
    if key.get("type") != "service_account":
        yield "type: only service_account is accepted"
    if unknown := key.keys() - _KNOWN_FIELDS:
        # A name may be anything, a secret pasted in the wrong place too: not quoted.
        yield f"fields that no service account's key has: {len(unknown)}"
    if key.get("universe_domain", DEFAULT_UNIVERSE) != DEFAULT_UNIVERSE:
        yield f"universe_domain: only {DEFAULT_UNIVERSE}"
    for name in ("private_key", *_FORMS):
        value = key.get(name)
        if not isinstance(value, str) or not value:
            yield f"{name}: missing, or not text"
        elif name == "private_key":
            if len(value) > MAX_PRIVATE_KEY_CHARACTERS or not value.isascii():
                yield "private_key: too long, or no PEM"
        elif not _FORMS[name].fullmatch(value):
            yield f"{name}: not of the form that Google issues"


def _load_rsa(private_key: Secret, *, is_checked: bool) -> RSAPrivateKey:
    """Return the key; `is_checked`: it was checked to be a sound one when it was accepted."""
    try:
        loaded = load_pem_private_key(
            private_key.reveal(), password=None, unsafe_skip_rsa_key_validation=is_checked
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        loaded = None  # the library's message may quote the key
    if not isinstance(loaded, RSAPrivateKey) or loaded.key_size < MIN_RSA_BITS:
        raise InvalidServiceAccountKeyError(
            f"private_key: expected an unencrypted RSA key of {MIN_RSA_BITS} bits or more"
        )
    return loaded
