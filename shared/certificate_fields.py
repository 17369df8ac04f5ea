"""The fields of a certificate that an identity profile can name, as texts. Pure.

What is there and is no text is the empty text, which fits no pattern. Each of these raises one of
`MALFORMED` for a certificate that cannot be read.
"""

from collections.abc import Iterator
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

from shared.identity_profile import CertificateField, FieldKind, KeyType
from shared.other_name import text_of_der_string, text_of_other_name

_OF_SUBJECT: Final = {
    FieldKind.COMMON_NAME: NameOID.COMMON_NAME,
    FieldKind.ORGANIZATIONAL_UNIT: NameOID.ORGANIZATIONAL_UNIT_NAME,
    FieldKind.ORGANIZATION: NameOID.ORGANIZATION_NAME,
    FieldKind.SERIAL_NUMBER: NameOID.SERIAL_NUMBER,
}
_CURVES: Final = {
    ec.SECP256R1.name: KeyType.P_256,
    ec.SECP384R1.name: KeyType.P_384,
    ec.SECP521R1.name: KeyType.P_521,
}
_RSA_BITS: Final = {2048: KeyType.RSA_2048, 3072: KeyType.RSA_3072, 4096: KeyType.RSA_4096}


def texts_of(certificate: x509.Certificate, field: CertificateField) -> list[str]:
    """Return every text of this field, in the certificate's order."""
    match field.kind:
        case FieldKind.URI:
            return alternative_names(certificate, x509.UniformResourceIdentifier)
        case FieldKind.DNS:
            return alternative_names(certificate, x509.DNSName)
        case FieldKind.OTHER_NAME:
            return _other_names(certificate, x509.ObjectIdentifier(field.oid))
        case FieldKind.EXTENSION:
            return _extension_texts(certificate, x509.ObjectIdentifier(field.oid))
        case kind:
            found = certificate.subject.get_attributes_for_oid(_OF_SUBJECT[kind])
            return [each.value if isinstance(each.value, str) else "" for each in found]


def key_type_of(certificate: x509.Certificate) -> KeyType | None:
    """Return what its key is, None if a profile has no name for that."""
    match certificate.public_key():
        case ec.EllipticCurvePublicKey() as key:
            return _CURVES.get(key.curve.name)
        case rsa.RSAPublicKey() as key:
            return _RSA_BITS.get(key.key_size)
        case ed25519.Ed25519PublicKey():
            return KeyType.ED25519
        case ed448.Ed448PublicKey():
            return KeyType.ED448
        case _:
            return None


def names_oid(certificate: x509.Certificate, oid: str) -> bool:
    """Tell whether it has this extension, or names it among its policies or key usages."""
    wanted = x509.ObjectIdentifier(oid)
    return any(each == wanted for each in _named_oids(certificate))


def has_extended_key_usage(certificate: x509.Certificate) -> bool:
    """Tell whether there is an extended key usage, whatever it says."""
    return any(each.oid == x509.ExtendedKeyUsage.oid for each in certificate.extensions)


def _named_oids(certificate: x509.Certificate) -> Iterator[x509.ObjectIdentifier]:
    for extension in certificate.extensions:
        yield extension.oid
        match extension.value:
            case x509.CertificatePolicies() as policies:
                yield from (each.policy_identifier for each in policies)
            case x509.ExtendedKeyUsage() as usages:
                yield from usages
            case _:
                pass


def alternative_names(
    certificate: x509.Certificate, kind: type[x509.UniformResourceIdentifier] | type[x509.DNSName]
) -> list[str]:
    """Return the subject alternative names of a kind, none if there is no such extension."""
    names = _subject_alternative_name(certificate)
    return [] if names is None else names.get_values_for_type(kind)


def _other_names(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    names = _subject_alternative_name(certificate)
    found = [] if names is None else names.get_values_for_type(x509.OtherName)
    return [text_of_other_name(each) for each in found if each.type_id == oid]


def _subject_alternative_name(
    certificate: x509.Certificate,
) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _extension_texts(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    try:
        der = certificate.extensions.get_extension_for_oid(oid).value.public_bytes()
    except x509.ExtensionNotFound:
        return []
    return [text_of_der_string(der)]
