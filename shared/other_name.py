"""The value of an otherName among a certificate's alternative names (RFC 5280 4.2.1.6), as a text.

| kind | text |
|---|---|
| HardwareModuleName (RFC 4108 section 5) | `TYPE:SERIAL`: an OID, and lower-case hex digits |
| PermanentIdentifier (RFC 4043) | `VALUE`, or `ASSIGNER:VALUE` with the OID of who assigned it |
| every other, such as Microsoft's UPN | the DER string that it is |

No two modules and no two identifiers have one text, so that neither passes for another. What is
none of these is the empty text, which fits no pattern. Pure.
"""

import re
from typing import Final

from cryptography import x509
from cryptography.hazmat import asn1

from shared.outside_bytes import Party, reads_bytes_of

HARDWARE_MODULE_NAME: Final = "1.3.6.1.5.5.7.8.4"
PERMANENT_IDENTIFIER: Final = "1.3.6.1.5.5.7.8.3"
# Of a longer value nothing is read: no id is as long. A serial number is twice as long in text.
MAX_OTHER_NAME_BYTES: Final = 2048
_BEGINS_WITH_OID: Final = re.compile(r"\d+(?:\.\d+)+:", re.ASCII)


@asn1.sequence
class _HardwareModuleName:
    hardware_type: x509.ObjectIdentifier
    serial_number: bytes


@asn1.sequence
class _PermanentIdentifier:
    value: str | None
    assigner: x509.ObjectIdentifier | None


@reads_bytes_of(Party.DEVICE)
def text_of_other_name(name: x509.OtherName) -> str:
    """Return an otherName's text; the empty text if its value is of no form that is known."""
    if len(name.value) > MAX_OTHER_NAME_BYTES:
        return ""
    try:
        match name.type_id.dotted_string:
            case oid if oid == HARDWARE_MODULE_NAME:
                module = asn1.decode_der(_HardwareModuleName, name.value)
                return f"{module.hardware_type.dotted_string}:{module.serial_number.hex()}"
            case oid if oid == PERMANENT_IDENTIFIER:
                return _permanent(asn1.decode_der(_PermanentIdentifier, name.value))
            case _:
                return text_of_der_string(name.value)
    except ValueError:
        return ""


def text_of_der_string(der: bytes) -> str:
    """Return a DER string: UTF8, Printable or IA5; the empty text for anything else."""
    try:
        return asn1.decode_der(str, der)
    except ValueError:
        pass
    try:
        return asn1.decode_der(asn1.PrintableString, der).as_str()
    except ValueError:
        pass
    try:
        return asn1.decode_der(asn1.IA5String, der).as_str()
    except ValueError:
        return ""


def _permanent(identifier: _PermanentIdentifier) -> str:
    value, assigner = identifier.value, identifier.assigner
    if not value:  # it is then elsewhere in the certificate: not looked for
        return ""
    if assigner is not None:
        return f"{assigner.dotted_string}:{value}"
    return "" if _BEGINS_WITH_OID.match(value) else value  # it would pass for another assigner's
