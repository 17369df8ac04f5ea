"""Who is at the other end of a finished handshake, and which CAs its certificate depends on."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from facade.devices.handshake_end import Ending, HandshakeEnd
from facade.devices.tls import NO_CLIENT, RefusedConnectionError
from facade.values.authority import MAX_REMEMBERED_AUTHORITIES, Authority, remembered_authority
from facade.values.device_identity import DeviceIdentity, Identification, UnidentifiedDeviceError
from shared.log_fields import bounded_text
from shared.malformed_x509 import MALFORMED
from shared.statement import device_subject

UNREADABLE: Final = "(cannot be read)"
_UNPARSED: Final = Ending(
    HandshakeEnd.INVALID_CERTIFICATE, "the certificate does not parse", depth=0
)
_UNPARSED_CA: Final = Ending(
    HandshakeEnd.INVALID_CERTIFICATE, "a CA's certificate does not parse", depth=1
)
_NOT_ISSUED: Final = Ending(HandshakeEnd.UNKNOWN_CA, "the certificate was not issued by a CA")


@frozen
class PresentedDevice:
    """Who is at the other end, or why nobody is known; and what its certificate depends on."""

    identity: DeviceIdentity | None
    issuer: str  # RFC 4514
    serial: int
    not_after: datetime
    issued_by: Authority
    anchored_in: Authority  # the trusted CA at the end of the verified chain
    problem: str = ""
    subject: str | None = None  # RFC 4514, if it identifies nobody: it can be found by this
    chain: tuple[bytes, ...] = field(default=(), eq=False, repr=False)  # DER, as it was presented
    # Of the statements that revoke it, as a device or as a certificate: its connections are found
    # by them.
    subjects: tuple[str, ...] = field(init=False, eq=False, repr=False)

    @property
    def claims(self) -> dict[str, str | None]:
        """What a log line says of its certificate if it is refused. The log bounds and escapes it.

        The chain is verified, but the words are still the device's.
        """
        fields: dict[str, str | None] = {
            "presented_serial": f"{self.serial:x}",
            "presented_issuer": self.issuer,
        }
        if self.identity is None:
            fields["presented_subject"] = self.subject or UNREADABLE
        return fields

    @property
    def id(self) -> str | None:
        """The device's id, for the log."""
        return self.identity.id if self.identity else None

    @subjects.default
    def _subjects(self) -> tuple[str, ...]:
        serial = f"{self.serial:x}"
        certificates = (
            device_subject(None, serial, None),
            device_subject(None, serial, self.issuer),
        )
        if self.identity is None:
            return certificates
        names = (device_subject(name, None, None) for name in self.identity.names)
        return (*names, *certificates)

    @property
    def counts_as(self) -> str:
        """Whose connection this is when connections are counted."""
        return self.subjects[0] if self.identity else self.subjects[-1]


def identify(
    verified: Sequence[bytes], brought: Iterable[bytes], rule: Identification
) -> PresentedDevice:
    """Return who finished the handshake, by `chain_bytes`, or raise `RefusedConnectionError`."""
    certificate = _parsed(verified[0], _UNPARSED)
    authorities = [_authority(each) for each in verified[1:]]
    if not rule.takes_usage(certificate, authorities):
        raise RefusedConnectionError(NO_CLIENT)
    sent = [_authority(each) if each in verified[1:] else _parsed_ca(each) for each in brought]
    return presented(certificate, (certificate, *authorities), rule, sent)


def presented(
    certificate: x509.Certificate,
    chain: Sequence[x509.Certificate],
    rule: Identification,
    brought: Iterable[x509.Certificate] = (),
) -> PresentedDevice:
    """Return whose certificate it is, or raise `RefusedConnectionError`.

    `chain` is verified and begins with it; `brought` is what the device sends with it.
    """
    issuing, anchor = _authorities(chain)
    identity, problem, subject = None, "", None
    try:
        identity = rule.identify(certificate, chain[1:])
    except UnidentifiedDeviceError as error:
        problem, subject = str(error), bounded_text(name_of(certificate, "subject"))
    return PresentedDevice(
        identity=identity,
        issuer=certificate.issuer.rfc4514_string(),
        serial=certificate.serial_number,
        not_after=certificate.not_valid_after_utc,
        issued_by=issuing,
        anchored_in=anchor,
        problem=problem,
        subject=subject,
        chain=(_der(certificate), *_chain_of(brought, chain)),
    )


def name_of(certificate: x509.Certificate, which: Literal["subject", "issuer"]) -> str:
    """Return a presented certificate's name for people (RFC 4514), whatever is in it."""
    try:
        name = certificate.subject if which == "subject" else certificate.issuer
        return name.rfc4514_string()
    except MALFORMED:
        return UNREADABLE


def _parsed(certificate: bytes, otherwise: Ending) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(certificate)
    except (ValueError, x509.InvalidVersion):
        raise RefusedConnectionError(otherwise) from None


def _parsed_ca(authority: bytes) -> x509.Certificate:
    return _parsed(authority, _UNPARSED_CA)


@lru_cache(maxsize=MAX_REMEMBERED_AUTHORITIES)
def _authority(verified: bytes) -> x509.Certificate:
    """Return a CA of a verified chain. All devices of a fleet have the same."""
    return _parsed_ca(verified)


def _authorities(chain: Sequence[x509.Certificate]) -> tuple[Authority, Authority]:
    """Return who issued the certificate and who is trusted, of the chain that OpenSSL verified."""
    if len(chain) < 2:  # noqa: PLR2004 - a leaf, and whoever issued it
        raise RefusedConnectionError(_NOT_ISSUED)
    try:
        return remembered_authority(chain[1]), remembered_authority(chain[-1])
    except (ValueError, UnsupportedAlgorithm):
        raise RefusedConnectionError(_UNPARSED_CA) from None


def _chain_of(
    brought: Iterable[x509.Certificate], verified: Sequence[x509.Certificate]
) -> Iterator[bytes]:
    """Yield what the device sent; of CAs that a trusted one has issued the same bytes for all."""
    for each in brought:
        yield _shared_der(each) if each in verified else _der(each)


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


@lru_cache(maxsize=MAX_REMEMBERED_AUTHORITIES)
def _shared_der(authority: x509.Certificate) -> bytes:
    """Return a CA's certificate as bytes that all devices share that present it."""
    return _der(authority)
