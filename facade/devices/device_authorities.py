"""The certificates of a device CA bundle: which are CAs, who issued whom, where chains may end.

Pure. A chain ends at a trust anchor. A self-signed certificate is one, as always. So is a
certificate whose issuer is not in the bundle: an operator who gives the facade only an intermediate
trusts that intermediate, and not the root above it. If the issuer is in the bundle, too, the chain
goes up to it, so that whatever is wrong with the root (its CRL, its end) is wrong with everything
below it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from facade.devices.chain_periods import Period, chain_periods
from shared.log_fields import bounded_text

# Netscape's certificate type. It marked CAs before RFC 2459.
_OLD_CERTIFICATE_TYPE: Final = x509.ObjectIdentifier("2.16.840.1.113730.1.1")
_Signer = tuple[x509.Name, bytes]
_CanonicalName = tuple[frozenset[tuple[str, str | bytes]], ...]


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether the certificate may issue others, as OpenSSL tells it (`X509_check_ca`).

    If we cannot read its extensions, OpenSSL decides at each handshake.
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
    """Tell whether a certificate has another's name as its issuer, and its signature.

    If the signature cannot be verified here, only the name decides, as when OpenSSL builds a chain.
    OpenSSL verifies the signature afterwards.
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
    _periods: Mapping[x509.Certificate, list[Period]] = field(repr=False)

    @classmethod
    def of(cls, certificates: Iterable[x509.Certificate]) -> "CertificateBundle":
        """Return them as a bundle; raise `ValueError` for a name that does not parse."""
        each_once = tuple(dict.fromkeys(certificates))
        by_subject: dict[_CanonicalName, list[x509.Certificate]] = {}
        for each in each_once:
            by_subject.setdefault(_canonical(each.subject), []).append(each)
        signers = {each: _signer(each) for each in each_once}
        issuers = {
            each: _issuers(each, by_subject.get(_canonical(each.issuer), ()), signers)
            for each in each_once
        }
        return cls(each_once, issuers, chain_periods(issuers))

    def issuers_of(self, certificate: x509.Certificate) -> list[x509.Certificate]:
        """Return the issuers of one of them. A self-signed one is its own issuer."""
        return self._issuers[certificate]

    @property
    def lone_anchors(self) -> list[x509.Certificate]:
        """The certificates whose issuer is not here."""
        return [each for each in self.certificates if not self.issuers_of(each)]

    @property
    def roots(self) -> list[x509.Certificate]:
        """The certificates that are self-signed."""
        return [each for each in self.certificates if each in self.issuers_of(each)]

    def periods_of(self, certificate: x509.Certificate) -> list[Period]:
        """Return when one of them and all above it are valid, by any chain up to an anchor."""
        return self._periods[certificate]


def _issuers(
    certificate: x509.Certificate,
    candidates: Sequence[x509.Certificate],
    signers: Mapping[x509.Certificate, _Signer],
) -> list[x509.Certificate]:
    """Return those of the candidates that issued it.

    A CA that others have signed has many certificates with one name and key. They are one
    candidate.
    """
    verdicts: dict[_Signer, bool] = {}
    for each in candidates:
        if signers[each] not in verdicts:
            verdicts[signers[each]] = is_issued_by(certificate, each)
    return [each for each in candidates if verdicts[signers[each]]]


def _signer(certificate: x509.Certificate) -> _Signer:
    """Return what decides whether it issued another one: its exact name, and its key."""
    try:
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        key = certificate.fingerprint(hashes.SHA256())  # like no other
    return certificate.subject, key


def _canonical(name: x509.Name) -> _CanonicalName:
    """Return what makes two names equal to OpenSSL, which ignores case and spacing."""
    return tuple(
        frozenset((each.oid.dotted_string, _folded(each.value)) for each in part)
        for part in name.rdns
    )


def _folded(value: str | bytes) -> str | bytes:
    return " ".join(value.lower().split()) if isinstance(value, str) else value
