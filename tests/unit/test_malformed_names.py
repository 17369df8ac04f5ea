"""Whichever byte of a certificate is wrong: who reads it knows which exceptions there are.

A name whose type is no text is the kind that is easily forgotten: the library reads it late, and
raises a `TypeError`.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from control_plane.device_revocations.device_certificate import parse_device_certificate
from control_plane.review.certificates import ShownCertificate
from deploy.dev.device_ca import CertificateAuthority
from facade.devices.presented_device import UNREADABLE, name_of
from facade.values.device_identity import (
    IdentityRule,
    UnidentifiedDeviceError,
    may_authenticate_clients,
)
from facade.values.trust_domain import names_none
from shared.identity_form import DEFAULT_URI_PATTERN, IdentityKind, compile_uri_pattern
from shared.malformed_x509 import MALFORMED
from shared.pem import load_certificates

AUTHORITY = CertificateAuthority.create("device CA")
ISSUED = AUTHORITY.issue(
    common_name="press-7",
    uris=["spiffe://example.com/fleet/line-a/device/press-7"],
    dns=["press-7.example.com"],
)
CERTIFICATE = load_certificates(ISSUED.chain_pem)[0]
DER = CERTIFICATE.public_bytes(Encoding.DER)
UTF8_STRING, BIT_STRING = 0x0C, 0x03
PATTERN = compile_uri_pattern(DEFAULT_URI_PATTERN)
CHANGES = (0x01, 0x0F, 0x80, 0xFF)  # the second makes a BIT STRING of a UTF8String


def changed() -> Iterator[x509.Certificate]:
    """Yield the certificate with each byte changed in some ways, as far as it parses at all."""
    for at, byte in enumerate(DER):
        for change in CHANGES:
            with suppress(*MALFORMED):
                yield x509.load_der_x509_certificate(
                    DER[:at] + bytes([byte ^ change]) + DER[at + 1 :]
                )


def with_names_of_bits() -> x509.Certificate:
    """Return the certificate whose issuer and subject are bit strings where texts belong."""
    bits = DER
    for text in (b"device CA", b"press-7"):
        value = bytes([UTF8_STRING, len(text)]) + text
        assert value in bits
        bits = bits.replace(value, bytes([BIT_STRING]) + value[1:])
    return x509.load_der_x509_certificate(bits)


def pasted(certificate: x509.Certificate) -> None:
    """Read it as an operator's."""
    with suppress(ValueError):
        parse_device_certificate(certificate.public_bytes(Encoding.PEM).decode())


def identified(certificate: x509.Certificate) -> None:
    """Read it as a device's, in each form of identity."""
    for kind in IdentityKind:
        with suppress(UnidentifiedDeviceError):
            IdentityRule(kind, PATTERN).identify(certificate, [certificate])
    may_authenticate_clients(certificate)
    names_none(certificate)


def named(certificate: x509.Certificate) -> None:
    """Name it in a log line, and on a page."""
    name_of(certificate, "subject")
    name_of(certificate, "issuer")
    ShownCertificate.of(certificate)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # of the library, when it reads one
@pytest.mark.parametrize("read", [pasted, identified, named])
def test_whatever_byte_is_wrong_it_is_read_or_refused(
    read: Callable[[x509.Certificate], None],
) -> None:
    """Nothing else than each reader's own error comes out."""
    for certificate in changed():
        read(certificate)


def test_names_of_bits_are_refused_and_not_named() -> None:
    """Each was an unforeseen exception: in the console, and where a stranger's handshake ends."""
    malformed = with_names_of_bits()
    with pytest.raises(ValueError, match="cannot be read"):
        parse_device_certificate(malformed.public_bytes(Encoding.PEM).decode())
    assert name_of(malformed, "subject") == name_of(malformed, "issuer") == UNREADABLE
    with pytest.raises(UnidentifiedDeviceError, match="malformed"):
        IdentityRule(IdentityKind.SUBJECT, PATTERN).identify(malformed)
