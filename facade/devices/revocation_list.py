"""Certificate revocation lists (RFC 5280 section 5), parsed. Those we could not obey are refused.

Only complete lists are accepted, one for each authority. A delta list changes a list that we may
not have; an indirect one is about other authorities' certificates; one for some reasons omits
others.
"""

from datetime import datetime
from typing import Final

from attrs import field, frozen
from cryptography import x509

from facade.errors import MalformedError
from shared.malformed_x509 import MALFORMED
from shared.outside_bytes import Party, reads_bytes_of
from shared.pem import InvalidPemError, pem_blocks
from shared.safe_message import SafeMessage

MAX_FILE_BYTES: Final = 64 * 1024 * 1024  # a million entries of 40 bytes, as PEM

_LABEL: Final = "X509 CRL"
_UNDERSTOOD: Final = (
    x509.AuthorityKeyIdentifier,
    x509.CRLNumber,
    x509.IssuingDistributionPoint,
    x509.FreshestCRL,
    x509.IssuerAlternativeName,
    x509.AuthorityInformationAccess,
)


class InvalidRevocationListError(SafeMessage, MalformedError, ValueError):
    """The file has no list that can be obeyed. The message says why and quotes nothing."""


@frozen
class RevocationList:
    """One authority's list. Only its verified signature shows whose it is."""

    issuer: x509.Name
    serials: frozenset[int] = field(repr=False)
    this_update: datetime
    next_update: datetime
    crl: x509.CertificateRevocationList = field(repr=False)

    @classmethod
    @reads_bytes_of(Party.FILE)
    def parse_all(cls, pem: bytes) -> "tuple[RevocationList, ...]":
        """Return the lists of a PEM file, or raise `InvalidRevocationListError`."""
        try:
            blocks = pem_blocks(pem)
        except InvalidPemError as error:
            raise InvalidRevocationListError(str(error)) from None
        if not blocks:
            raise InvalidRevocationListError("it holds no CRL in PEM form")
        if any(block.label != _LABEL for block in blocks):
            raise InvalidRevocationListError("it holds something beside CRLs")
        return tuple(cls._parse(block.pem) for block in blocks)

    @classmethod
    def _parse(cls, block: bytes) -> "RevocationList":
        try:
            crl = x509.load_pem_x509_crl(block)
            extensions = list(crl.extensions)
            serials = frozenset(_serial(entry) for entry in crl)
            issuer, this_update, next_update = crl.issuer, crl.last_update_utc, crl.next_update_utc
        except InvalidRevocationListError:
            raise
        except Exception:  # noqa: BLE001 - what the library raises depends on which byte is wrong
            raise InvalidRevocationListError("a CRL does not parse") from None
        for extension in extensions:
            _require_understood(extension)
        if next_update is None:
            raise InvalidRevocationListError("a CRL does not say when the next one comes")
        return cls(issuer, serials, this_update, next_update, crl)

    def is_signed_by(self, authority: x509.Certificate) -> bool:
        """Tell whether this is the list of that authority."""
        if authority.subject != self.issuer:
            return False
        try:
            return bool(self.crl.is_signature_valid(authority.public_key()))  # type: ignore[arg-type]  # another kind of key is the TypeError
        except MALFORMED:
            return False


def _serial(entry: x509.RevokedCertificate) -> int:
    for extension in entry.extensions:
        if isinstance(extension.value, x509.CertificateIssuer):
            raise InvalidRevocationListError("an indirect CRL is not supported")
        if extension.critical and not isinstance(extension.value, x509.CRLReason):
            raise InvalidRevocationListError("an entry has an unknown critical extension")
    return entry.serial_number


def _require_understood(extension: x509.Extension[x509.ExtensionType]) -> None:
    value = extension.value
    if isinstance(value, x509.DeltaCRLIndicator):
        raise InvalidRevocationListError("a delta CRL is not supported: a complete one is needed")
    if isinstance(value, x509.IssuingDistributionPoint):
        if value.indirect_crl:
            raise InvalidRevocationListError("an indirect CRL is not supported")
        if value.only_some_reasons:
            raise InvalidRevocationListError("a CRL for some reasons alone is not supported")
        if value.only_contains_ca_certs or value.only_contains_attribute_certs:
            raise InvalidRevocationListError("a CRL that leaves devices out is of no use")
    elif extension.critical and not isinstance(value, _UNDERSTOOD):
        raise InvalidRevocationListError("a CRL has an unknown critical extension")
