"""What a device's certificate says of it, for whoever revokes it. Pure.

Nothing is believed of it: whoever revokes looks at what it names, and decides. A chain is read,
too: the device's own certificate stands first in it.
"""

from typing import Final

from attrs import frozen
from cryptography import x509
from cryptography.x509.oid import NameOID

from control_plane.device_revocations.fields import parse_issuer, parse_serial
from shared.device_id import is_device_id
from shared.identity_form import IdentityForm, ProfilesForm
from shared.malformed_x509 import MALFORMED
from shared.outside_bytes import Party, reads_bytes_of
from shared.pem import InvalidPemError, load_certificates, pem_blocks

MAX_PEM_CHARACTERS: Final = 64 * 1024  # a chain of some ten certificates
MAX_NAMES: Final = 20  # that are shown; a device's certificate has one to three
_EXPECTED: Final = "expected the device's certificate in PEM (-----BEGIN CERTIFICATE-----)"


@frozen
class DeviceCertificate:
    """What a certificate names: a serial and an issuer, and whom it may be of."""

    subject: str
    serial: str
    issuer: str
    devices: tuple[str, ...]  # ids that a facade may read in it, the likeliest first
    ends_at: str


@reads_bytes_of(Party.OPERATOR)
def parse_device_certificate(text: str, form: IdentityForm | None = None) -> DeviceCertificate:
    """Return what the first certificate of a PEM text says.

    Raises `ValueError`, which quotes nothing. With the `form` of the installation's identities,
    only ids of that form are named.
    """
    if len(text) > MAX_PEM_CHARACTERS:
        raise ValueError(f"expected at most {MAX_PEM_CHARACTERS} characters")
    try:
        if any(block.is_private_key for block in pem_blocks(text)):
            raise ValueError(
                "this holds a private key, which nobody should see: give the certificate alone"
            )
        certificate = load_certificates(text)[0]
    except InvalidPemError as error:
        raise ValueError(f"{_EXPECTED}: {error}") from None
    try:
        return _named(certificate, form)
    except MALFORMED:  # of the library, or of our grammars; it may quote the certificate
        raise ValueError(
            "the certificate has a serial, an issuer or names that cannot be read"
        ) from None


def _named(certificate: x509.Certificate, form: IdentityForm | None) -> DeviceCertificate:
    if isinstance(form, ProfilesForm):
        devices = [*form.ids_in(certificate)]
    else:
        names = [name for name in _names(certificate) if is_device_id(name)]
        devices = [name for name in names if form is None or form.says_device(name)]
    return DeviceCertificate(
        certificate.subject.rfc4514_string(),
        parse_serial(f"{certificate.serial_number:x}"),
        parse_issuer(certificate.issuer.rfc4514_string()),
        tuple(dict.fromkeys(devices))[:MAX_NAMES],
        certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _names(certificate: x509.Certificate) -> list[str]:
    """Return the URI SANs, the DNS SANs and the subject's CNs."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return [
        *names.get_values_for_type(x509.UniformResourceIdentifier),
        *names.get_values_for_type(x509.DNSName),
        *(str(each.value) for each in common),
    ]
