"""A certificate authority: what chains are bound to, whichever certificate speaks of it."""

import hashlib
from functools import lru_cache
from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAX_REMEMBERED_AUTHORITIES: Final = 256  # a bundle of some hundred CAs


@frozen(cache_hash=True)  # looked up at each request of its devices
class Authority:
    """A certificate authority: a name with a key, whichever certificate says so.

    A renewed CA certificate is the same authority. Another key with the same name is not.
    """

    name: str  # RFC 4514
    key: bytes  # SHA-256 of the SubjectPublicKeyInfo

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "Authority":
        """Return the authority that a CA's certificate speaks of.

        Raises `ValueError` or `UnsupportedAlgorithm` for one whose name or key cannot be read.
        """
        public_key = certificate.public_key()
        spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls(certificate.subject.rfc4514_string(), hashlib.sha256(spki).digest())


@lru_cache(maxsize=MAX_REMEMBERED_AUTHORITIES)
def remembered_authority(certificate: x509.Certificate) -> Authority:
    """Return a CA of a verified chain, as `Authority.of`. All devices of a fleet have the same."""
    return Authority.of(certificate)
