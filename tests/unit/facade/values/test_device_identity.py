"""Who a certificate is: exactly one name of the configured kind, or nobody."""

import datetime as dt
import string
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.device_ca import CLIENT_AUTH, SERVER_AUTH, CertificateAuthority
from facade.values.device_identity import (
    IdentityRule,
    UnidentifiedDeviceError,
    may_authenticate_clients,
)
from shared.device_id import is_device_id
from shared.identity_form import (
    DEFAULT_URI_PATTERN,
    IdentityKind,
    InvalidUriPatternError,
    compile_uri_pattern,
)

CA = CertificateAuthority.create()
KEY = ec.generate_private_key(ec.SECP256R1())
PRESS_7 = "spiffe://example.com/fleet/line-a/device/press-7"
SAN = ExtensionOID.SUBJECT_ALTERNATIVE_NAME
EKU = ExtensionOID.EXTENDED_KEY_USAGE
UNKNOWN_OID = x509.ObjectIdentifier("2.5.29.99")
X400_ADDRESS = b"\x30\x02\xa3\x00"
GARBAGE = b"\x30\x05\x86\x7fabc"  # a length that goes beyond the end


def rule(
    kind: IdentityKind = IdentityKind.SPIFFE, pattern: str = DEFAULT_URI_PATTERN
) -> IdentityRule:
    """Return the rule of a configuration."""
    return IdentityRule(kind, compile_uri_pattern(pattern))


def certificate(
    *extensions: x509.ExtensionType, subject: x509.Name | None = None
) -> x509.Certificate:
    """Return a certificate with just these extensions, which no honest CA may ever issue."""
    now = dt.datetime.now(dt.UTC)
    name = subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(CA.certificate.subject)
        .public_key(KEY.public_key())
        .serial_number(0xABC123)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(CA.key, hashes.SHA256())


def with_names(*names: x509.GeneralName) -> x509.Certificate:
    """Return a certificate with these alternative names."""
    return certificate(x509.SubjectAlternativeName(names))


def twice(first: x509.ExtensionType, other: x509.ExtensionType) -> x509.Certificate:
    """Return a certificate with one extension twice, which no builder makes.

    The second one is added under an unknown identifier, which is then overwritten in the bytes.
    """
    made = certificate(first, x509.UnrecognizedExtension(UNKNOWN_OID, other.public_bytes()))
    der = made.public_bytes(Encoding.DER)
    unknown, wanted = (oid_bytes(oid) for oid in (UNKNOWN_OID, first.oid))
    assert der.count(unknown) == 1
    return x509.load_der_x509_certificate(der.replace(unknown, wanted))


def oid_bytes(oid: x509.ObjectIdentifier) -> bytes:
    """Return the DER of an identifier below 2.5.29 whose last part is one byte."""
    return b"\x06\x03\x55\x1d" + bytes([int(oid.dotted_string.rpartition(".")[2])])


def test_a_device_is_who_its_uri_says_verbatim() -> None:
    """The fleet is a part of it; the serial is written as revocations name it."""
    issued = CA.issue_device()
    device = rule().identify(issued.certificate)
    assert (device.id, device.fleet) == (PRESS_7, "line-a")
    assert device.serial == f"{issued.serial:x}"
    assert device.not_after == issued.certificate.not_valid_after_utc
    assert rule().identify(with_names(x509.UniformResourceIdentifier(PRESS_7))).serial == "abc123"


segments = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=12).filter(
    lambda text: text not in {".", ".."}
)
trust_domains = st.text(string.ascii_lowercase + string.digits + "._-", min_size=1, max_size=12)


@given(trust_domains, segments, segments)
def test_every_spiffe_id_of_the_pattern_is_read_back(
    trust_domain: str, fleet: str, device: str
) -> None:
    """SPIFFE-ID sections 2.1 and 2.2."""
    uri = f"spiffe://{trust_domain}/fleet/{fleet}/device/{device}"
    identity = rule().identify(with_names(x509.UniformResourceIdentifier(uri)))
    assert (identity.id, identity.fleet) == (uri, fleet)


URI_PIECES = (
    *("spiffe://", "SPIFFE://", "example.com", "/fleet/", "/device/", "line-a", "press-7", "/"),
    *("..", ".", "%2e", "\n", "\0", " ", "?", "#", "@", ":443", "é", "x" * 1000),
)
hostile_uris = st.one_of(
    st.text(st.characters(max_codepoint=127), max_size=60),
    st.lists(st.sampled_from(URI_PIECES), max_size=8).map("".join),
)


@given(hostile_uris)
def test_any_uri_is_an_identity_of_that_very_text_or_nobodys(uri: str) -> None:
    """Checked against the pattern taken apart by hand."""
    name = x509.UniformResourceIdentifier._init_without_validation(uri)  # noqa: SLF001 - no other way to a name that is no ASCII
    try:
        made = with_names(name)
    except (UnicodeEncodeError, ValueError):
        return  # not to be had in a certificate at all
    parts = uri.split("/")
    expected = (
        len(parts) == 7
        and (parts[0], parts[1], parts[3], parts[5]) == ("spiffe:", "", "fleet", "device")
        and set(parts[2]) <= set(string.ascii_lowercase + string.digits + "._-")
        and all(is_segment(part) for part in (parts[4], parts[6]))
        and 1 <= len(parts[2]) <= 255
        and len(uri) <= 2048
    )
    if expected:
        assert rule().identify(made).id == uri
    else:
        with pytest.raises(UnidentifiedDeviceError):
            rule().identify(made)


def is_segment(text: str) -> bool:
    """Tell whether a text is a segment of a SPIFFE id."""
    allowed = set(string.ascii_letters + string.digits + "._-")
    return bool(text) and set(text) <= allowed and text not in {".", ".."}


def of_subject(cn: list[str] | None = None, ou: list[str] | None = None) -> x509.Certificate:
    """Return a certificate with these common names and units."""
    attributes = [
        *(x509.NameAttribute(NameOID.COMMON_NAME, value) for value in cn or []),
        *(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, value) for value in ou or []),
    ]
    return certificate(subject=x509.Name(attributes))


def subject_of_no_text() -> x509.Certificate:
    """Return a certificate whose common name says to be UTF-8 and is not."""
    der = of_subject(cn=["device"], ou=["line-a"]).public_bytes(Encoding.DER)
    return x509.load_der_x509_certificate(der.replace(b"device", b"dev\xffce"))


URI = x509.UniformResourceIdentifier(PRESS_7)
DNS = x509.DNSName("press-7.example.com")
NOBODY: dict[str, tuple[IdentityKind, Callable[[], x509.Certificate]]] = {
    "two URIs": (IdentityKind.SPIFFE, lambda: with_names(URI, URI)),
    "no extension": (IdentityKind.SPIFFE, certificate),
    "no URI among others": (IdentityKind.SPIFFE, lambda: with_names(DNS, x509.RFC822Name("a@b.c"))),
    "malformed names": (
        IdentityKind.SPIFFE,
        lambda: certificate(x509.UnrecognizedExtension(SAN, GARBAGE)),
    ),
    "malformed names, read for DNS": (
        IdentityKind.DNS,
        lambda: certificate(x509.UnrecognizedExtension(SAN, GARBAGE)),
    ),
    "no bytes where names should be": (
        IdentityKind.SPIFFE,
        lambda: certificate(x509.UnrecognizedExtension(SAN, b"")),
    ),
    "the names twice": (
        IdentityKind.SPIFFE,
        lambda: twice(x509.SubjectAlternativeName([URI]), x509.SubjectAlternativeName([DNS])),
    ),
    "a name of a kind that nobody reads": (
        IdentityKind.SPIFFE,
        lambda: certificate(x509.UnrecognizedExtension(SAN, X400_ADDRESS)),
    ),
    "a subject that is no text": (IdentityKind.SUBJECT, subject_of_no_text),
    "two DNS names": (IdentityKind.DNS, lambda: with_names(DNS, DNS)),
    "a URI where DNS is asked for": (IdentityKind.DNS, lambda: with_names(URI)),
    "a wildcard": (IdentityKind.DNS, lambda: with_names(x509.DNSName("*.example.com"))),
    "an upper-case name": (IdentityKind.DNS, lambda: with_names(x509.DNSName("A.example.com"))),
    "a final dot": (IdentityKind.DNS, lambda: with_names(x509.DNSName("a.example.com."))),
    "an empty DNS name": (IdentityKind.DNS, lambda: with_names(x509.DNSName(""))),
    "a NUL in a DNS name": (IdentityKind.DNS, lambda: with_names(x509.DNSName("a.example\0.b"))),
    "a label of 64": (IdentityKind.DNS, lambda: with_names(x509.DNSName("a" * 64 + ".b"))),
    "a name of 254": (IdentityKind.DNS, lambda: with_names(x509.DNSName("a." * 126 + "aa"))),
    "an underscore": (IdentityKind.DNS, lambda: with_names(x509.DNSName("a_b.example"))),
    "an empty subject": (IdentityKind.SUBJECT, of_subject),
    "no unit": (IdentityKind.SUBJECT, lambda: of_subject(cn=["press-7"])),
    "no common name": (IdentityKind.SUBJECT, lambda: of_subject(ou=["line-a"])),
    "two common names": (IdentityKind.SUBJECT, lambda: of_subject(cn=["a", "b"], ou=["line-a"])),
    "two units": (IdentityKind.SUBJECT, lambda: of_subject(cn=["a"], ou=["line-a", "line-b"])),
    "a space": (IdentityKind.SUBJECT, lambda: of_subject(cn=["press 7"], ou=["line-a"])),
    "a slash": (IdentityKind.SUBJECT, lambda: of_subject(cn=["a/b"], ou=["line-a"])),
    "a line break": (IdentityKind.SUBJECT, lambda: of_subject(cn=["a\n"], ou=["line-a"])),
    "other scripts": (IdentityKind.SUBJECT, lambda: of_subject(cn=["\u0430"], ou=["line-a"])),
    "names where a subject is asked for": (IdentityKind.SUBJECT, lambda: with_names(URI, DNS)),
}


@pytest.mark.parametrize(
    "uri",
    [
        "SPIFFE://example.com/fleet/line-a/device/press-7",
        "spiffe://EXAMPLE.com/fleet/line-a/device/press-7",
        "spiffe://example.com/fleet/line-a/device/press%2D7",
        "spiffe://example.com/fleet/line-a/device/press-7/",
        "spiffe://example.com/fleet/line-a/device/press-7?",
        "spiffe://example.com/fleet/line-a/device/press-7#",
        "spiffe://example.com/fleet/line-a/device/./press-7",
        "spiffe://example.com/fleet//line-a/device/press-7",
        "spiffe://example.com:443/fleet/line-a/device/press-7",
        "spiffe://@example.com/fleet/line-a/device/press-7",
        "spiffe://example.com/fleet/line-a/device/press-7 ",
        "spiffe:/example.com/fleet/line-a/device/press-7",
    ],
)
def test_an_id_has_one_spelling(uri: str) -> None:
    """Scopes and revocations compare texts: what means the same to others identifies nobody."""
    with pytest.raises(UnidentifiedDeviceError):
        rule(IdentityKind.SPIFFE).identify(with_names(x509.UniformResourceIdentifier(uri)))
    assert not is_device_id(uri)


@pytest.mark.parametrize("shape", NOBODY)
def test_a_certificate_without_the_one_name_identifies_nobody(shape: str) -> None:
    """Nothing is guessed, and no other kind is tried."""
    kind, make = NOBODY[shape]
    with pytest.raises(UnidentifiedDeviceError) as refused:
        rule(kind).identify(make())
    for quoted in ("press", "example", "line-a"):
        assert quoted not in str(refused.value)


def test_dns_and_subject_identify_where_they_are_asked_for() -> None:
    """A DNS name has no fleet; the unit is one."""
    by_name = rule(IdentityKind.DNS).identify(with_names(DNS, URI))
    assert (by_name.id, by_name.fleet) == ("press-7.example.com", None)
    by_subject = rule(IdentityKind.SUBJECT).identify(of_subject(cn=["press-7"], ou=["line-a"]))
    assert (by_subject.id, by_subject.fleet) == ("press-7", "line-a")


def test_a_literal_trust_domain_fixes_it() -> None:
    """A CA of several customers issues for several trust domains."""
    ours = rule(pattern="spiffe://example.com/fleet/{fleet}/device/{device}")
    assert ours.identify(CA.issue_device().certificate).id == PRESS_7
    for other in ("example.org", "example.com.evil", "evil-example.com", "exampleXcom"):
        with pytest.raises(UnidentifiedDeviceError):
            ours.identify(CA.issue_device(trust_domain=other).certificate)


def test_a_pattern_without_a_fleet_identifies_devices_of_none() -> None:
    """Such devices get only what every fleet gets."""
    alone = rule(pattern="spiffe://{trust_domain}/{device}")
    made = CA.issue(uris=["spiffe://example.com/press-7"]).certificate
    assert alone.identify(made).fleet is None
    with pytest.raises(UnidentifiedDeviceError):
        alone.identify(CA.issue_device().certificate)


@given(st.text("spiffe:/{}trusdomanlv.-_ AZ?#%\\()[]*+^$|é", max_size=60))
def test_any_pattern_is_an_expression_or_refused(pattern: str) -> None:
    """What is not a placeholder is literal: nothing in a pattern is an expression."""
    try:
        compiled = compile_uri_pattern(pattern)
    except InvalidUriPatternError:
        return
    example = pattern.format(trust_domain="example.com", fleet="line-a", device="press-7")
    match = compiled.fullmatch(example)
    assert match is not None
    assert match["device"] == "press-7"


@pytest.mark.parametrize(
    "usages, may",
    [
        ([CLIENT_AUTH], True),
        ([SERVER_AUTH, CLIENT_AUTH], True),
        ([SERVER_AUTH], False),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], False),
        ([ExtendedKeyUsageOID.CODE_SIGNING], False),
        ([], False),
    ],
)
def test_client_authentication_must_be_named(
    usages: list[x509.ObjectIdentifier], *, may: bool
) -> None:
    """RFC 5280 section 4.2.1.12; OpenSSL takes an absent extension for every usage."""
    assert may_authenticate_clients(CA.issue(usages=usages).certificate) is may


def test_a_malformed_or_repeated_usage_is_none() -> None:
    """What cannot be read allows nothing."""
    client = x509.ExtendedKeyUsage([CLIENT_AUTH])
    for made in (
        certificate(x509.UnrecognizedExtension(EKU, GARBAGE)),
        certificate(x509.UnrecognizedExtension(EKU, b"")),
        certificate(client, x509.UnrecognizedExtension(SAN, GARBAGE)),
        certificate(client, x509.UnrecognizedExtension(SAN, X400_ADDRESS)),
        twice(client, x509.ExtendedKeyUsage([SERVER_AUTH])),
    ):
        assert not may_authenticate_clients(made)
