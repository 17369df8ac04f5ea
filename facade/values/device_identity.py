"""A presented certificate becomes a `DeviceIdentity`, or identifies nobody.

TLS has verified the chain; this reads whose it is. Only the configured kind of name is looked at.
Nothing else in a certificate identifies anybody, and there is no fallback. OpenSSL accepts two URI
SANs and a missing extended key usage; this does not.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from facade.errors import MalformedError
from facade.values.trust_domain import may_issue
from shared.certificate_fields import alternative_names
from shared.device_id import DNS_NAME, MAX_DEVICE_ID_CHARACTERS, SUBJECT_FIELD
from shared.identity_form import IdentityKind
from shared.malformed_x509 import MALFORMED
from shared.outside_bytes import Party, reads_bytes_of


class UnidentifiedDeviceError(MalformedError, ValueError):
    """The certificate identifies nobody; the message says why and quotes nothing of it."""


@frozen
class DeviceIdentity:
    """Who asks: verified by TLS, named by the certificate."""

    id: str  # verbatim, as in the certificate
    fleet: str | None
    serial: str  # lower-case hexadecimal without leading zeros
    not_after: datetime
    # How else revocations may name it: with its profile's name, or without, as it was called while
    # another number of profiles was configured.
    other_names: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Its id, and every other name: whoever revokes one of them means this device."""
        return (self.id, *self.other_names)


class Identification(Protocol):
    """How an installation reads in certificates who a device is."""

    def takes_usage(
        self, certificate: x509.Certificate, authorities: Sequence[x509.Certificate]
    ) -> bool:
        """Tell whether its extended key usage, or the lack of one, lets it in."""

    def identify(
        self, certificate: x509.Certificate, authorities: Sequence[x509.Certificate] = ()
    ) -> DeviceIdentity:
        """Return the identity; raise `UnidentifiedDeviceError` if there is none.

        `authorities`: the CAs of its verified chain.
        """


@frozen
class IdentityRule:
    """How certificates are read: the kind, and for SPIFFE the pattern of the URI."""

    kind: IdentityKind
    uri_pattern: re.Pattern[str]

    def takes_usage(
        self,
        certificate: x509.Certificate,
        authorities: Sequence[x509.Certificate],  # noqa: ARG002 - it is the same for every CA
    ) -> bool:
        """Tell whether its extended key usage names clientAuth."""
        return may_authenticate_clients(certificate)

    @reads_bytes_of(Party.DEVICE)
    def identify(
        self, certificate: x509.Certificate, authorities: Sequence[x509.Certificate] = ()
    ) -> DeviceIdentity:
        """Return the identity; raise `UnidentifiedDeviceError` if there is none.

        `authorities`: the CAs of its verified chain.
        """
        with malformed_names_nobody():
            device, fleet = self._name(certificate)
            if self.kind is IdentityKind.SPIFFE and not may_issue(authorities, device):
                raise UnidentifiedDeviceError(
                    "the URI SAN is of another SPIFFE trust domain than the CA"
                )
        return DeviceIdentity(
            id=device,
            fleet=fleet,
            serial=f"{certificate.serial_number:x}",
            not_after=certificate.not_valid_after_utc,
        )

    def _name(self, certificate: x509.Certificate) -> tuple[str, str | None]:
        match self.kind:
            case IdentityKind.SPIFFE:
                return self._spiffe_name(certificate)
            case IdentityKind.DNS:
                return _dns_name(certificate), None
            case IdentityKind.SUBJECT:
                return _subject_name(certificate)

    def _spiffe_name(self, certificate: x509.Certificate) -> tuple[str, str | None]:
        uri = _the_only(alternative_names(certificate, x509.UniformResourceIdentifier), "URI SAN")
        match = self.uri_pattern.fullmatch(uri)
        if match is None or len(uri) > MAX_DEVICE_ID_CHARACTERS:
            raise UnidentifiedDeviceError("the URI SAN does not fit the configured pattern")
        return uri, match.groupdict().get("fleet")


@contextmanager
def malformed_names_nobody() -> Iterator[None]:
    """Raise `UnidentifiedDeviceError` if a name cannot be read, although OpenSSL accepted it."""
    try:
        yield
    except UnidentifiedDeviceError:
        raise
    except (*MALFORMED, UnsupportedAlgorithm):
        raise UnidentifiedDeviceError("the certificate is malformed") from None


def may_authenticate_clients(certificate: x509.Certificate) -> bool:
    """Tell whether the extended key usage is present and names clientAuth (RFC 5280 4.2.1.12)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, *MALFORMED):
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage


def _dns_name(certificate: x509.Certificate) -> str:
    name = _the_only(alternative_names(certificate, x509.DNSName), "DNS SAN")
    if not DNS_NAME.fullmatch(name):
        raise UnidentifiedDeviceError("the DNS SAN is not a lower-case host name")
    return name


def _subject_name(certificate: x509.Certificate) -> tuple[str, str]:
    device = _subject_field(certificate, NameOID.COMMON_NAME, "CN")
    return device, _subject_field(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME, "OU")


def _subject_field(certificate: x509.Certificate, oid: x509.ObjectIdentifier, label: str) -> str:
    values = [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(oid)]
    value = _the_only(values, label)
    if not SUBJECT_FIELD.fullmatch(value):
        raise UnidentifiedDeviceError(
            f"the subject's {label} is not letters, digits, '.', '_' and '-'"
        )
    return value


def _the_only(values: list[str], label: str) -> str:
    if len(values) != 1:
        raise UnidentifiedDeviceError(
            f"the certificate has {len(values)} names of the kind {label}, not one"
        )
    return values[0]
