"""The certificates of a device CA bundle: which are CAs, who issued whom, where chains may end.

Pure. A chain ends at a trust anchor. A self-signed certificate is one, as ever. So is a certificate
whose issuer is not in the bundle: whoever gives the facade an intermediate alone trusts that
intermediate, and not the root above it. Where the issuer is in the bundle too, a chain goes up to
it, so that what is wrong with the root (its CRL, its end) is wrong with all that is below.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.log_fields import bounded_text

# Netscape's certificate type, by which CAs said that they were CAs before RFC 2459.
_OLD_CERTIFICATE_TYPE: Final = x509.ObjectIdentifier("2.16.840.1.113730.1.1")
Period = tuple[datetime, datetime]  # from when until when
_CanonicalName = tuple[frozenset[tuple[str, str | bytes]], ...]


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether the certificate may issue others, as OpenSSL tells it (`X509_check_ca`).

    Of one whose extensions we cannot read, OpenSSL decides at each handshake.
    """
    try:
        extensions = {each.oid: each.value for each in certificate.extensions}
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return True
    usage = extensions.get(x509.KeyUsage.oid)
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        return False
    constraints = extensions.get(x509.BasicConstraints.oid)
    if isinstance(constraints, x509.BasicConstraints):
        return constraints.ca
    is_old_root = certificate.version is x509.Version.v1 and is_issued_by(certificate, certificate)
    return usage is not None or is_old_root or _OLD_CERTIFICATE_TYPE in extensions


def named(certificate: x509.Certificate) -> str:
    """Return a certificate's serial number and subject for people, bounded and escaped."""
    return bounded_text(
        f"serial {certificate.serial_number:x}, {certificate.subject.rfc4514_string()}"
    )


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether a certificate bears another's name as its issuer, and its signature.

    Where the signature cannot be verified here, the name alone tells, as it does for OpenSSL when
    it builds a chain; OpenSSL verifies the signature afterwards.
    """
    if _canonical(certificate.issuer) != _canonical(issuer.subject):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return False
    except (ValueError, TypeError, UnsupportedAlgorithm):  # names that differ in case are the first
        return True
    return True


@frozen
class CertificateBundle:
    """Certificates that are trusted together, each once."""

    certificates: tuple[x509.Certificate, ...]
    _issuers: Mapping[x509.Certificate, list[x509.Certificate]] = field(repr=False)

    @classmethod
    def of(cls, certificates: Iterable[x509.Certificate]) -> "CertificateBundle":
        """Return them as a bundle; raise `ValueError` for a name that does not parse."""
        each_once = tuple(dict.fromkeys(certificates))
        by_subject: dict[_CanonicalName, list[x509.Certificate]] = {}
        for each in each_once:
            by_subject.setdefault(_canonical(each.subject), []).append(each)
        issuers = {
            each: [
                issuer
                for issuer in by_subject.get(_canonical(each.issuer), ())
                if is_issued_by(each, issuer)
            ]
            for each in each_once
        }
        return cls(each_once, issuers)

    def issuers_of(self, certificate: x509.Certificate) -> list[x509.Certificate]:
        """Return those that issued one of them; a self-signed one is its own issuer."""
        return self._issuers[certificate]

    @property
    def lone_anchors(self) -> list[x509.Certificate]:
        """The certificates whose issuer is not here."""
        return [each for each in self.certificates if not self.issuers_of(each)]

    @property
    def roots(self) -> list[x509.Certificate]:
        """The certificates that are self-signed."""
        return [each for each in self.certificates if each in self.issuers_of(each)]

    def periods_of(
        self, certificate: x509.Certificate, below: frozenset[bytes] = frozenset()
    ) -> list[Period]:
        """Return when a certificate and all above it are valid, of each chain up to an anchor.

        No key stands twice in a chain: `below` are those that were on the way to this one.
        """
        own = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        issuers = self.issuers_of(certificate)
        if not issuers or certificate in issuers:
            return [own]
        below |= {_key(certificate)}
        return [
            (max(begin, own[0]), min(end, own[1]))
            for issuer in issuers
            if _key(issuer) not in below
            for begin, end in self.periods_of(issuer, below)
        ]


def _key(certificate: x509.Certificate) -> bytes:
    public_key = certificate.public_key()
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _canonical(name: x509.Name) -> _CanonicalName:
    """Return what two names have to share to be the same to OpenSSL: neither case nor spacing."""
    return tuple(
        frozenset((each.oid.dotted_string, _folded(each.value)) for each in part)
        for part in name.rdns
    )


def _folded(value: str | bytes) -> str | bytes:
    return " ".join(value.lower().split()) if isinstance(value, str) else value
