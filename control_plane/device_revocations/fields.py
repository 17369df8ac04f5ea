"""The grammars of a device revocation's fields: text in, the one canonical form out.

A revocation revokes nobody if it is spelled differently from what the facade reads in certificates.
So equivalent spellings become one, and what no certificate can say is refused, and never quoted.
"""

import re
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from shared.device_id import is_device_id
from shared.malformed_x509 import MALFORMED
from shared.outside_bytes import Party, reads_bytes_of

MAX_SERIAL_DIGITS: Final = (
    128  # RFC 5280 allows 40; the certificates of a CA that breaks it must be revocable, too
)
MAX_ISSUER_BYTES: Final = 3072  # with the serial, a subject of at most 4096

# `0abc`, `0A:BC` (openssl), `0a bc` (Windows), `0xabc`
_SERIAL: Final = re.compile(
    r"(?:0[xX])?[0-9A-Fa-f]+|[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})+|[0-9A-Fa-f]{2}(?: [0-9A-Fa-f]{2})+",
    re.ASCII,
)
# What openssl prints before a serial and before an issuer.
_PASTED_SERIAL: Final = re.compile(r"serial= ?", re.ASCII | re.IGNORECASE)
_PASTED_ISSUER: Final = re.compile(r"issuer= ?", re.ASCII | re.IGNORECASE)
# Names that OpenSSL prints and cryptography does not read; in RFC 4514 case does not matter.
_DESCRIPTORS: Final[dict[str, x509.ObjectIdentifier]] = {
    "cn": NameOID.COMMON_NAME,
    "l": NameOID.LOCALITY_NAME,
    "st": NameOID.STATE_OR_PROVINCE_NAME,
    "o": NameOID.ORGANIZATION_NAME,
    "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "c": NameOID.COUNTRY_NAME,
    "street": NameOID.STREET_ADDRESS,
    "dc": NameOID.DOMAIN_COMPONENT,
    "uid": NameOID.USER_ID,
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "serialNumber": NameOID.SERIAL_NUMBER,
}


def parse_device_id(text: str) -> str:
    """Return a device's id, verbatim: a SPIFFE id, a lower-case host name, a subject's CN.

    Or `profile/value`, where facades have identity profiles.
    """
    if not is_device_id(text):
        raise ValueError(
            "expected what the certificate says, verbatim: a SPIFFE id such as"
            " spiffe://example.com/fleet/a/device/b, a lower-case host name, or the subject's CN;"
            " or PROFILE/VALUE of an identity profile"
        )
    return text


@reads_bytes_of(Party.OPERATOR)
def parse_serial(text: str) -> str:
    """Return a serial number as lower-case hexadecimal without leading zeros."""
    text = _without(_PASTED_SERIAL, text)
    if len(text) > 2 * MAX_SERIAL_DIGITS or not _SERIAL.fullmatch(text):
        raise ValueError(
            "expected a certificate's serial number in hexadecimal, such as 0A:BC or abc"
        )
    number = int(re.sub("[: ]", "", text), base=16)
    serial = f"{number:x}"
    if len(serial) > MAX_SERIAL_DIGITS:
        raise ValueError(f"expected at most {MAX_SERIAL_DIGITS} hexadecimal digits")
    return serial


@reads_bytes_of(Party.OPERATOR)
def parse_issuer(text: str) -> str:
    """Return an issuer as RFC 4514 text, exactly as the facade reads it in certificates."""
    expected = (
        "expected the issuer as RFC 4514, without spaces between its parts, such as"
        " CN=Device CA,O=Example (openssl x509 -noout -issuer -nameopt RFC2253)"
    )
    if len(text) > MAX_ISSUER_BYTES:
        raise ValueError(expected)
    text = _without(_PASTED_ISSUER, text)
    if not text or "=#" in text:  # after `=#` comes DER, which would be read as text
        raise ValueError(expected)
    try:
        name = x509.Name.from_rfc4514_string(text, _DESCRIPTORS)
        issuer = x509.Name([_in_order_of_der(part) for part in name.rdns]).rfc4514_string()
    except MALFORMED:  # quotes the text
        raise ValueError(expected) from None
    if not issuer.isprintable() or not 0 < len(issuer.encode()) <= MAX_ISSUER_BYTES:
        raise ValueError(expected)
    return issuer


def _without(beginning: re.Pattern[str], text: str) -> str:
    """Return the text without what was pasted before it."""
    match = beginning.match(text)
    return text[match.end() :] if match else text


def _in_order_of_der(
    part: x509.RelativeDistinguishedName,
) -> x509.RelativeDistinguishedName:
    """Return `OU=b+CN=a` in the order in which a certificate holds it (X.690 section 11.6)."""
    if len(attributes := list(part)) == 1:
        return part
    attributes.sort(key=lambda each: x509.Name([each]).public_bytes())
    return x509.RelativeDistinguishedName(attributes)
