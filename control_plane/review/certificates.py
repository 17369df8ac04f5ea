"""A connection's own certificates as an approver compares them: never as PEM. Pure.

A connector chose them, so what cannot be read of one is said, and nothing raises.
"""

from datetime import datetime
from functools import lru_cache
from typing import Final, Self

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from shared.malformed_x509 import MALFORMED
from shared.pem import InvalidPemError, load_certificates

SYSTEM_ALONE: Final = "the system's authorities alone"
READ_BUNDLES: Final = 4  # a review reads two, several times; each has 64 KiB at most
MAX_SHOWN_NAME_CHARACTERS: Final = 256  # a certificate's name has no bound of its own


@frozen
class ShownCertificate:
    """What tells a certificate from others."""

    name: str
    ends: datetime | None  # None: it cannot be read
    sha256: str

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """Return what is shown of a certificate."""
        try:
            name = certificate.subject.rfc4514_string() or "a certificate without a name"
        except MALFORMED:
            name = "a certificate whose name cannot be read"
        if len(name) > MAX_SHOWN_NAME_CHARACTERS:
            name = f"{name[:MAX_SHOWN_NAME_CHARACTERS]}…"
        try:
            ends = certificate.not_valid_after_utc
        except MALFORMED:
            ends = None
        return cls(name, ends, certificate.fingerprint(SHA256()).hex())

    def __str__(self) -> str:
        """Return its line."""
        until = f"{self.ends:%Y-%m-%d}" if self.ends else "an unreadable day"
        return f"{self.name}, until {until}, SHA-256 {self.sha256}"


@lru_cache(maxsize=READ_BUNDLES)
def own_certificates(pem: str | None) -> tuple[ShownCertificate, ...]:
    """Return the certificates; none if there is no PEM, or if it cannot be read."""
    try:
        return tuple(map(ShownCertificate.of, load_certificates(pem))) if pem is not None else ()
    except InvalidPemError:
        return ()


def certificate_lines(pem: str | None) -> tuple[str, ...]:
    """Return a line for each certificate: its name, its end and its SHA-256."""
    if pem is None:
        return (SYSTEM_ALONE,)
    return tuple(map(str, own_certificates(pem))) or ("they cannot be read here",)
