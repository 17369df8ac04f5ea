"""Certificates as the CAs of fleets make them, and the identity profile that reads each.

Every part is given, so that a test can make a hostile twin: a certificate of the same CA that is
wrong in one part. Keys and names are made up; the shapes are those of the projects and standards.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache

from attrs import evolve, field, frozen
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.name import _ASN1Type  # whatever CA writes a country as a UTF8String
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

from deploy.dev.device_ca import CertificateAuthority
from shared.other_name import HARDWARE_MODULE_NAME, PERMANENT_IDENTIFIER

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
BUSINESS_CATEGORY = NameOID.BUSINESS_CATEGORY
UNIQUE_IDENTIFIER = NameOID.X500_UNIQUE_IDENTIFIER
USER_PRINCIPAL_NAME = "1.3.6.1.4.1.311.20.2.3"  # Microsoft's, of a person or a machine
TPM_RESIDENCY = "2.23.133.11.1.1"  # TCG's tcg-cap-verifiedTPMResidency
FLIGHTCTL_SIGNER = "1.3.6.1.4.1.99999.1.1"
FLIGHTCTL_FINGERPRINT = "1.3.6.1.4.1.99999.1.3"
STEP_PROVISIONER = "1.3.6.1.4.1.37476.9000.64.1"
FINGERPRINT = "1ra9hfd8g41a9ktpusj0kbhkcr4r7jgf2v5e3h6c8t1s2d3f4g50"
HARDWARE_MODULE = bytes.fromhex("300a06032a03040403010203")  # of type 1.2.3.4, number 01 02 03
NO_END = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)  # IEEE 802.1AR section 8.7
_TEXT = _ASN1Type.UTF8String


@cache
def device_key() -> ec.EllipticCurvePublicKey:
    """Return the key of every certificate here that says nothing else."""
    return ec.generate_private_key(ec.SECP256R1()).public_key()


def printable(text: str) -> bytes:
    """Return a text as Go's encoding/asn1 marshals one that is printable."""
    return asn1.encode_der(asn1.PrintableString(text))


def other_name(oid: str, der: bytes) -> x509.OtherName:
    """Return an otherName with this value."""
    return x509.OtherName(ObjectIdentifier(oid), der)


def written_names(*values: tuple[str, bytes]) -> dict[str, bytes]:
    """Return an extension of alternative names that are otherNames: types and any bytes.

    No library writes one whose value is no DER.
    """
    names = [
        der(0xA0, asn1.encode_der(ObjectIdentifier(oid)) + der(0xA0, value))
        for oid, value in values
    ]
    return {ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string: der(0x30, b"".join(names))}


def der(tag: int, content: bytes) -> bytes:
    """Return DER with this tag (X.690 sections 8.1.3 and 10.1)."""
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


@frozen
class Shape:
    """What a certificate holds, part by part."""

    subject: tuple[tuple[x509.ObjectIdentifier, str], ...] = ()
    names: tuple[x509.GeneralName, ...] = ()
    usages: tuple[x509.ObjectIdentifier, ...] | None = (CLIENT,)
    extensions: Mapping[str, bytes] = field(factory=dict)
    policies: tuple[str, ...] = ()
    ends: dt.datetime | None = None
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey = field(factory=device_key)

    def with_subject(self, *attributes: tuple[x509.ObjectIdentifier, str]) -> "Shape":
        """Return it with another subject."""
        return evolve(self, subject=attributes)

    def with_names(self, *names: x509.GeneralName) -> "Shape":
        """Return it with other alternative names."""
        return evolve(self, names=names)

    def with_extensions(self, extensions: Mapping[str, bytes]) -> "Shape":
        """Return it with these extensions of a CA's own, and no others."""
        return evolve(self, extensions=extensions)

    def issue(self, ca: CertificateAuthority) -> x509.Certificate:
        """Return the certificate that this CA makes of it."""
        now = dt.datetime.now(dt.UTC)
        attributes = [
            x509.NameAttribute(oid, text, _TEXT, _validate=False) for oid, text in self.subject
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(attributes))
            .issuer_name(ca.certificate.subject)
            .public_key(self.public_key)
            .serial_number(0xABC123)
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(self.ends or now + dt.timedelta(days=1))
        )
        for extension in self._extensions():
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(ca.key, hashes.SHA256())

    def _extensions(self) -> Sequence[x509.ExtensionType]:
        found: list[x509.ExtensionType] = [
            x509.UnrecognizedExtension(ObjectIdentifier(oid), der)
            for oid, der in self.extensions.items()
        ]
        if self.names:
            found.append(x509.SubjectAlternativeName(self.names))
        if self.usages is not None:
            found.append(x509.ExtendedKeyUsage(self.usages))
        if self.policies:
            oids = [ObjectIdentifier(each) for each in self.policies]
            found.append(
                x509.CertificatePolicies([x509.PolicyInformation(oid, None) for oid in oids])
            )
        return found


@frozen
class FleetMaker:
    """One kind of fleet: a certificate of it, the profile that reads it, and who it then is."""

    fields: Mapping[str, object]
    shape: Shape
    value: str
    fleet: str | None
    rest: Mapping[str, object] = field(factory=dict)  # of the profile

    def profile(self, name: str, ca: CertificateAuthority) -> dict[str, object]:
        """Return the profile as its file has it."""
        return {
            "name": name,
            "authorities": ca.pem.decode(),
            "fields": dict(self.fields),
            **self.rest,
        }


MAKERS: Mapping[str, FleetMaker] = {
    # internal/crypto/signer: the CN is `device:` and the fingerprint, which an extension repeats.
    "flightctl": FleetMaker(
        {
            "common_name": "device:{device}",
            "extensions": {
                FLIGHTCTL_SIGNER: "flightctl.io/device-management",
                FLIGHTCTL_FINGERPRINT: "{any}",
            },
        },
        Shape(
            ((NameOID.COMMON_NAME, f"device:{FINGERPRINT}"),),
            extensions={
                FLIGHTCTL_SIGNER: asn1.encode_der("flightctl.io/device-management"),
                FLIGHTCTL_FINGERPRINT: printable(FINGERPRINT),
            },
        ),
        f"device:{FINGERPRINT}",
        "edge",
        {"fleet": "edge"},
    ),
    # lmp-device-register: the CN is the device's UUID, the OU the factory.
    "foundries": FleetMaker(
        {"common_name": "{device}", "organizational_unit": "{fleet}"},
        Shape(
            (
                (NameOID.COMMON_NAME, "3fa2f6b8-8e3a-4f6b-9d8c-2a4e6b1c7d90"),
                (NameOID.ORGANIZATIONAL_UNIT_NAME, "presses"),
                (BUSINESS_CATEGORY, "production"),
            )
        ),
        "3fa2f6b8-8e3a-4f6b-9d8c-2a4e6b1c7d90",
        "presses",
    ),
    # Mender's gateway takes any certificate of the CA; its guide gives each a CN and an O.
    "mender": FleetMaker(
        {"common_name": "{device}", "organization": "Example Works"},
        Shape(
            (
                (NameOID.COMMON_NAME, "00:1a:2b:3c:4d:5e"),
                (NameOID.ORGANIZATION_NAME, "Example Works"),
            )
        ),
        "00:1a:2b:3c:4d:5e",
        "gateways",
        {"fleet": "gateways"},
    ),
    # Just-in-time registration with a CA of one's own: CN the thing, OU its type.
    "aws-iot": FleetMaker(
        {"common_name": "{device}", "organizational_unit": "{fleet}"},
        Shape(
            (
                (NameOID.COUNTRY_NAME, "US"),
                (NameOID.ORGANIZATIONAL_UNIT_NAME, "sensors"),
                (NameOID.COMMON_NAME, "thing_42"),
                (NameOID.SERIAL_NUMBER, "0042"),
            )
        ),
        "thing_42",
        "sensors",
    ),
    # The Device Provisioning Service: the CN is the registration id; a group is an issuing CA.
    "azure-dps": FleetMaker(
        {"common_name": "{device}"},
        Shape(((NameOID.COMMON_NAME, "contoso-device-01"),)),
        "contoso-device-01",
        "contoso",
        {"fleet": "contoso"},
    ),
    # `step ca certificate`: the name as CN and DNS SAN, for servers and clients alike.
    "step-ca": FleetMaker(
        {"dns": "{device}.{fleet}.devices.example.com"},
        Shape(
            ((NameOID.COMMON_NAME, "press-7.line-a.devices.example.com"),),
            (x509.DNSName("press-7.line-a.devices.example.com"),),
            (SERVER, CLIENT),
            {STEP_PROVISIONER: bytes.fromhex("300a0201010403666f6f0400")},
        ),
        "press-7.line-a.devices.example.com",
        "line-a",
    ),
    # An X.509-SVID: one URI SAN, and a subject that says nothing of the device.
    "spire": FleetMaker(
        {"uri": "spiffe://example.com/fleet/{fleet}/device/{device}"},
        Shape(
            (
                (NameOID.COUNTRY_NAME, "US"),
                (NameOID.ORGANIZATION_NAME, "SPIRE"),
                (UNIQUE_IDENTIFIER, "b0a1c2d3e4f5a6b7c8d9e0f1a2b3c4d5"),
            ),
            (x509.UniformResourceIdentifier("spiffe://example.com/fleet/line-a/device/press-7"),),
            (SERVER, CLIENT),
        ),
        "spiffe://example.com/fleet/line-a/device/press-7",
        "line-a",
    ),
    # IEEE 802.1AR: an IDevID of a factory, without an end, and without an extended key usage.
    "idevid": FleetMaker(
        {"serial_number": "PID:{any} SN:{device}", "organization": "Example Instruments"},
        Shape(
            (
                (NameOID.ORGANIZATION_NAME, "Example Instruments"),
                (NameOID.SERIAL_NUMBER, "PID:EI-9300-24 SN:FCW2233A5ZV"),
            ),
            (other_name(HARDWARE_MODULE_NAME, HARDWARE_MODULE),),
            usages=None,
            policies=(TPM_RESIDENCY,),
            ends=NO_END,
        ),
        "PID:EI-9300-24 SN:FCW2233A5ZV",
        "instruments",
        {
            "fleet": "instruments",
            "extended_key_usage": "may_be_missing",
            "hardware_key": TPM_RESIDENCY,
            "key_types": ["p-256", "p-384", "rsa-2048"],
        },
    ),
    # The same, named by its hardware module (IEEE 802.1AR section 8.10.4).
    "hardware-module": FleetMaker(
        {"other_names": {HARDWARE_MODULE_NAME: "1.2.3.4:{device}"}},
        Shape(
            ((NameOID.ORGANIZATION_NAME, "Example Instruments"),),
            (other_name(HARDWARE_MODULE_NAME, HARDWARE_MODULE),),
            usages=None,
            ends=NO_END,
        ),
        "1.2.3.4:010203",
        "instruments",
        {"fleet": "instruments", "extended_key_usage": "may_be_missing"},
    ),
    # Windows' own CA: the name of an account in a directory.
    "windows": FleetMaker(
        {"other_names": {USER_PRINCIPAL_NAME: "{device}@{fleet}"}},
        Shape(
            names=(
                x509.DNSName("kiosk-3.shops.example"),
                other_name(USER_PRINCIPAL_NAME, asn1.encode_der("kiosk-3@shops.example")),
            ),
        ),
        "kiosk-3@shops.example",
        "shops.example",
    ),
    # step-ca by ACME's device attestation: the serial number that the hardware vouched for.
    "attested": FleetMaker(
        {"other_names": {PERMANENT_IDENTIFIER: "{device}"}},
        Shape(
            ((NameOID.COMMON_NAME, "C02XK1ZGJGH6"),),
            (other_name(PERMANENT_IDENTIFIER, b"\x30\x0e" + asn1.encode_der("C02XK1ZGJGH6")),),
        ),
        "C02XK1ZGJGH6",
        "laptops",
        {"fleet": "laptops"},
    ),
}
