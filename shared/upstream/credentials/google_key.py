"""Reads a Google service account's key strictly: what is kept of it, and what is refused.

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

from shared.outside_bytes import Party, reads_bytes_of
from shared.safe_message import SafeMessage
from shared.secret import Secret
from shared.several_problems import SeveralProblemsError

# A PEM of RSA 4096 has 3.3 thousand.
MAX_PRIVATE_KEY_CHARACTERS: Final = 4 * 1024
MIN_RSA_BITS: Final = 2048  # what Google issues; less is no key of theirs
MAX_RSA_BITS: Final = 4096  # for those who make a key of their own
MAX_RSA_EXPONENT: Final = 2**32  # 65537 in practice; a long one makes signing and checking slow
INCONSISTENT: Final = "private_key: the numbers of this RSA key do not belong together"
DEFAULT_UNIVERSE: Final = "googleapis.com"

_FORMS: Final = {
    "client_email": re.compile(
        r"[a-z0-9._-]{1,64}@[a-z0-9.-]{1,190}\.gserviceaccount\.com", re.ASCII
    ),
    "project_id": re.compile(r"[a-z0-9.:-]{1,100}", re.ASCII),  # `example.com:project` exists
    "private_key_id": re.compile(r"[0-9a-f]{1,64}", re.ASCII),
}
# The fields of Google's own key files. No other field belongs to a service account's key.
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

        Whether the RSA key's factors are primes is not looked at: that takes up to 1 s, with
        Python's interpreter held.
        """
        parsed = cls._of_fields(key)
        _require_consistent(_load_rsa(parsed.private_key))
        return parsed

    @classmethod
    @reads_bytes_of(Party.OPERATOR)
    def from_secret(cls, secret: Secret) -> Self:
        """Return the key that `to_secret` made of a parsed one.

        Raises `InvalidServiceAccountKeyError`.
        """
        try:
            key = orjson.loads(secret.reveal())
        except orjson.JSONDecodeError:
            raise InvalidServiceAccountKeyError("the stored key is not JSON") from None
        if not isinstance(key, dict):
            raise InvalidServiceAccountKeyError("the stored key is not a JSON object")
        parsed = cls._of_fields(key)
        _load_rsa(parsed.private_key)
        return parsed

    @classmethod
    def _of_fields(cls, key: Mapping[str, object]) -> Self:
        if problems := [*_problems(key)]:
            raise InvalidServiceAccountKeyError(*problems)
        email, project, key_id, pem = (str(key[name]) for name in (*_FORMS, "private_key"))
        return cls(email, project, key_id, Secret(pem))

    def signer(self) -> crypt.RSASigner:
        """Return what signs assertions with the key; it prints nothing of it."""
        private_key = _load_rsa(self.private_key)
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
        # A name may be anything, even a secret that was pasted in the wrong place: it is not
        # quoted.
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


def _load_rsa(private_key: Secret) -> RSAPrivateKey:
    """Return the key, whose numbers are not looked at."""
    try:
        loaded = load_pem_private_key(
            private_key.reveal(), password=None, unsafe_skip_rsa_key_validation=True
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        loaded = None  # the library's message may quote the key
    if not isinstance(loaded, RSAPrivateKey) or not MIN_RSA_BITS <= loaded.key_size <= MAX_RSA_BITS:
        raise InvalidServiceAccountKeyError(
            f"private_key: expected an unencrypted RSA key of {MIN_RSA_BITS} to {MAX_RSA_BITS} bits"
        )
    return loaded


def _require_consistent(key: RSAPrivateKey) -> None:
    """Refuse numbers that do not form one key; that takes less than a millisecond."""
    private = key.private_numbers()
    public, p, q, d = private.public_numbers, private.p, private.q, private.d
    is_consistent = (
        p * q == public.n
        and abs(p.bit_length() - q.bit_length()) <= 1
        and public.e in range(3, MAX_RSA_EXPONENT, 2)
        and d * public.e % (p - 1) == 1
        and d * public.e % (q - 1) == 1
        and private.dmp1 == d % (p - 1)
        and private.dmq1 == d % (q - 1)
        and private.iqmp * q % p == 1
    )
    if not is_consistent:
        raise InvalidServiceAccountKeyError(INCONSISTENT)
