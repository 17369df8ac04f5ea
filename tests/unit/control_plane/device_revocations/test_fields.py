"""A revocation names devices and certificates exactly as the facade reads them."""

import datetime as dt
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from control_plane.device_revocations.fields import parse_device_id, parse_issuer, parse_serial
from control_plane.device_revocations.request import RevocationTarget
from facade.values.device_identity import IdentityRule, UnidentifiedDeviceError
from shared.identity_form import IdentityKind, KindForm, compile_uri_pattern

KEY = Ed25519PrivateKey.generate()
AT = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
OIDS = (
    NameOID.COMMON_NAME,
    NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME,
    NameOID.DOMAIN_COMPONENT,
    NameOID.EMAIL_ADDRESS,
    NameOID.SERIAL_NUMBER,
    x509.ObjectIdentifier("1.2.3.4"),
)
PRINTABLE = st.characters(categories=("L", "N", "P", "S", "Zs"))
VALUES = st.text(PRINTABLE, min_size=1, max_size=20).filter(str.isprintable)
ASCII_VALUES = st.text("abcXYZ019+,-./:=? '()", min_size=1, max_size=20)  # PrintableString


@st.composite
def attributes(draw: st.DrawFn) -> x509.NameAttribute[str]:
    """Return a part of a name, as a CA may set it."""
    oid = draw(st.sampled_from(OIDS))
    is_ascii = oid in (NameOID.DOMAIN_COMPONENT, NameOID.EMAIL_ADDRESS, NameOID.SERIAL_NUMBER)
    return x509.NameAttribute(oid, draw(ASCII_VALUES if is_ascii else VALUES))


RDNS = st.lists(attributes(), min_size=1, max_size=3, unique_by=lambda each: each.oid)
NAMES = st.lists(RDNS.map(x509.RelativeDistinguishedName), min_size=1, max_size=4).map(x509.Name)


def certificate(
    *,
    issuer: x509.Name | None = None,
    serial: int = 1,
    subject: x509.Name | None = None,
    names: tuple[x509.GeneralName, ...] = (),
) -> x509.Certificate:
    """Return a certificate as it is presented: read back from its DER."""
    nobody = x509.Name([])
    builder = x509.CertificateBuilder(
        issuer_name=issuer or nobody,
        subject_name=subject or nobody,
        public_key=KEY.public_key(),
        serial_number=serial,
        not_valid_before=AT,
        not_valid_after=AT,
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return x509.load_der_x509_certificate(builder.sign(KEY, None).public_bytes(Encoding.DER))


def outcome(parse: Callable[[str], str], text: str) -> tuple[str | None, str]:
    """Return the parsed text, or none and why."""
    try:
        return parse(text), ""
    except ValueError as error:
        return None, str(error)


@given(NAMES)
def test_an_issuer_is_what_is_read_off_a_certificate(name: x509.Name) -> None:
    """Also where the parts of one RDN are given in another order than DER has them."""
    text = name.rfc4514_string()
    presented = certificate(issuer=name).issuer.rfc4514_string()
    if "=#" in text:
        with pytest.raises(ValueError, match="RFC 4514"):
            parse_issuer(text)
        return
    assert parse_issuer(text) == presented
    assert parse_issuer(presented) == presented


@given(st.text(max_size=60) | st.from_regex(r"(CN|o|1\.2\.3)=[\x00-\x7f]{0,20}", fullmatch=True))
def test_any_text_is_an_issuer_in_one_form_or_refused(text: str) -> None:
    """With an error of ours, that does not quote it."""
    issuer, problem = outcome(parse_issuer, text)
    if issuer is None:
        assert problem.startswith("expected the issuer as RFC 4514")
        return
    assert parse_issuer(issuer) == issuer
    assert issuer.isprintable()


@pytest.mark.parametrize(
    "text, issuer",
    [
        ("CN=Device CA", "CN=Device CA"),
        ("cn=Device CA,o=Example", "CN=Device CA,O=Example"),
        ("2.5.4.3=Device CA", "CN=Device CA"),
        ("CN=M\\C3\\BCnchen", "CN=München"),
        ("CN=a\\2cb", "CN=a\\,b"),
        ("OU=b+CN=a", "CN=a+OU=b"),
        ("emailAddress=a@b,CN=x", "1.2.840.113549.1.9.1=a@b,CN=x"),
        ("serialNumber=5", "2.5.4.5=5"),
    ],
)
def test_equivalent_spellings_of_an_issuer_become_one(text: str, issuer: str) -> None:
    """As people and OpenSSL write it."""
    assert parse_issuer(text) == issuer


@pytest.mark.parametrize(
    "text",
    ["", "Device CA", "CN = Device CA", "O=Example, CN=CA", "/CN=CA", "CN=#0c0161", "CN=", "X=1"],
)
def test_what_is_no_issuer_is_refused(text: str) -> None:
    """OpenSSL's own order is the other way around: it would name nobody."""
    with pytest.raises(ValueError, match="RFC2253"):
        parse_issuer(text)


@given(st.integers(min_value=1, max_value=2**159 - 1), st.data())
def test_a_serial_is_what_is_read_off_a_certificate(number: int, data: st.DataObject) -> None:
    """However it is spelled."""
    rule = IdentityRule(IdentityKind.DNS, compile_uri_pattern("spiffe://{trust_domain}/{device}"))
    identity = rule.identify(certificate(serial=number, names=(x509.DNSName("press-7"),)))
    padded = f"{number:040x}"
    octets = [padded[at : at + 2] for at in range(0, 40, 2)]
    spelled = data.draw(
        st.sampled_from(
            [f"{number:x}", padded, f"0x{number:X}", ":".join(octets), " ".join(octets)]
        )
    )
    for text in (spelled, spelled.upper(), f"serial={spelled}"):  # as openssl prints it
        assert parse_serial(text) == identity.serial


@given(st.text(max_size=300) | st.text("0123456789abcdefABCDEFxX: -+_", max_size=300))
def test_any_text_is_a_serial_in_one_form_or_refused(text: str) -> None:
    """And nothing of it is quoted."""
    serial, problem = outcome(parse_serial, text)
    if serial is None:
        assert problem.startswith("expected")
        return
    assert serial == f"{int(serial, 16):x}"
    assert parse_serial(serial) == serial


@given(
    st.from_regex(r"spiffe://[a-zA-Z0-9._-]{1,9}(/[A-Za-z0-9._-]{1,9}){1,4}", fullmatch=True)
    | st.text(max_size=20)
)
def test_every_uri_that_identifies_a_device_can_be_revoked(uri: str) -> None:
    """One grammar for both processes."""
    segments = uri.removeprefix("spiffe://").split("/")[1:]
    pattern = "/".join(["spiffe://{trust_domain}", *["x"] * (len(segments) - 1), "{device}"])
    replaced = "/".join([*uri.split("/")[:3], *["x"] * (len(segments) - 1), *segments[-1:]])
    rule = IdentityRule(IdentityKind.SPIFFE, compile_uri_pattern(pattern))
    if not replaced.isascii():
        with pytest.raises(ValueError, match="verbatim"):
            parse_device_id(replaced if "/" in replaced else f"{replaced}/")
        return
    presented = certificate(names=(x509.UniformResourceIdentifier(replaced),))
    try:
        identity = rule.identify(presented)
    except UnidentifiedDeviceError:
        return
    assert parse_device_id(identity.id) == identity.id
    assert KindForm(IdentityKind.SPIFFE, pattern).says_device(identity.id)


@given(st.from_regex(r"[A-Za-z0-9._-]{1,70}", fullmatch=True))
def test_every_name_that_identifies_a_device_can_be_revoked(name: str) -> None:
    """Of the other two kinds."""
    pattern = compile_uri_pattern("spiffe://{trust_domain}/{device}")
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name[:64]),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "line-a"),
        ]
    )
    presented = certificate(subject=subject, names=(x509.DNSName(name),))
    by_subject = IdentityRule(IdentityKind.SUBJECT, pattern).identify(presented)
    assert parse_device_id(by_subject.id) == by_subject.id
    form = KindForm(IdentityKind.SUBJECT)
    assert form.says_device(by_subject.id)
    assert by_subject.fleet is not None
    assert form.says_fleet(by_subject.fleet)
    try:
        by_name = IdentityRule(IdentityKind.DNS, pattern).identify(presented)
    except UnidentifiedDeviceError:
        return
    assert parse_device_id(by_name.id) == by_name.id
    assert KindForm(IdentityKind.DNS).says_device(by_name.id)


@given(
    st.builds(RevocationTarget, device=st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True))
    | st.builds(
        RevocationTarget,
        serial=st.integers(min_value=0).map(lambda number: f"{number:x}"),
        issuer=st.none() | NAMES.map(x509.Name.rfc4514_string),
    )
)
def test_a_subject_says_whom_it_is_about(target: RevocationTarget) -> None:
    """Also where an issuer has slashes."""
    assert RevocationTarget.of_subject(target.subject) == target
