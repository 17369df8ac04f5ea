"""Who a certificate is by an identity profile: as CAs of fleets make them, and hostile twins."""

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

import orjson
import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.dev.device_ca import CertificateAuthority
from facade.devices.identification import load_profiles
from facade.values.device_identity import UnidentifiedDeviceError
from facade.values.identity_profiles import IdentityProfiles
from shared.other_name import HARDWARE_MODULE_NAME, MAX_OTHER_NAME_BYTES, PERMANENT_IDENTIFIER
from tests.support.fleet_certificates import (
    CLIENT,
    FLIGHTCTL_FINGERPRINT,
    FLIGHTCTL_SIGNER,
    HARDWARE_MODULE,
    MAKERS,
    TPM_RESIDENCY,
    USER_PRINCIPAL_NAME,
    Shape,
    other_name,
    printable,
    written_names,
)

CA = CertificateAuthority.create("one CA")
OTHER_CA = CertificateAuthority.create("another CA")
SAME_NAME = CertificateAuthority.create("one CA")
CN, OU, ORG = NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.ORGANIZATION_NAME
SERIAL = NameOID.SERIAL_NUMBER
CYRILLIC_A = "\u0430"
# It warns of empty and long attributes, which these certificates have on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length:UserWarning")
EACH_MAKER = pytest.mark.parametrize("maker", MAKERS)


def loaded(*profiles: Mapping[str, object]) -> IdentityProfiles:
    """Return profiles as a file has them."""
    return load_profiles(orjson.dumps({"profiles": profiles}))


def of_fields(fields: Mapping[str, object], **rest: object) -> IdentityProfiles:
    """Return one profile of the CA."""
    return loaded({"name": "alone", "authorities": CA.pem.decode(), "fields": fields, **rest})


def chain(ca: CertificateAuthority = CA) -> list[x509.Certificate]:
    """Return the CAs of a verified chain below one CA."""
    return [ca.certificate]


PROFILES = {name: loaded(maker.profile(name, CA)) for name, maker in MAKERS.items()}


@EACH_MAKER
def test_a_fleets_certificate_is_the_device_that_it_names(maker: str) -> None:
    """With one profile the id is the value; with several the profile stands before it."""
    made = MAKERS[maker]
    alone = PROFILES[maker].identify(made.shape.issue(CA), chain())
    assert (alone.id, alone.fleet, alone.serial) == (made.value, made.fleet, "abc123")
    elsewhere = loaded(
        made.profile(maker, CA),
        {"name": "other", "authorities": OTHER_CA.pem.decode(), "fields": {"dns": "{device}"}},
    )
    among = elsewhere.identify(made.shape.issue(CA), chain())
    assert (among.id, among.fleet) == (f"{maker}/{made.value}", made.fleet)
    assert set(among.names) == set(alone.names) == {made.value, f"{maker}/{made.value}"}


@EACH_MAKER
def test_another_ca_names_nobody(maker: str) -> None:
    """Neither one that the facade trusts for others, nor one with the same name and another key."""
    for ca in (OTHER_CA, SAME_NAME):
        with pytest.raises(UnidentifiedDeviceError, match="no identity profile binds"):
            PROFILES[maker].identify(MAKERS[maker].shape.issue(ca), chain(ca))
    with pytest.raises(UnidentifiedDeviceError, match="no identity profile binds"):
        PROFILES[maker].identify(MAKERS[maker].shape.issue(CA))


def test_a_renewed_ca_is_still_bound_and_so_is_one_above() -> None:
    """A CA is a name and a key; a profile may bind the root of several issuing CAs."""
    made, profiles = MAKERS["spire"], PROFILES["spire"]
    renewed = CA.renewed()
    assert profiles.identify(made.shape.issue(renewed), chain(renewed)).id == made.value
    below = CA.make_intermediate("issuing CA")
    above = [below.certificate, CA.certificate]
    assert profiles.identify(made.shape.issue(below), above).id == made.value


def renamed(maker: str, oid: x509.ObjectIdentifier, change: Callable[[str], str]) -> Shape:
    """Return a maker's certificate with one attribute of its subject changed."""
    shape = MAKERS[maker].shape
    changed = [(each, change(text) if each == oid else text) for each, text in shape.subject]
    assert tuple(changed) != shape.subject
    return shape.with_subject(*changed)


def twice(maker: str, oid: x509.ObjectIdentifier, text: str) -> Shape:
    """Return a maker's certificate with another attribute of a kind beside its own."""
    shape = MAKERS[maker].shape
    return shape.with_subject(*shape.subject, (oid, text))


def without(maker: str, oid: x509.ObjectIdentifier) -> Shape:
    """Return a maker's certificate without an attribute."""
    shape = MAKERS[maker].shape
    return shape.with_subject(*(each for each in shape.subject if each[0] != oid))


def uri(text: str) -> x509.GeneralName:
    """Return a URI SAN."""
    return x509.UniformResourceIdentifier(text)


def extended(extensions: Mapping[str, bytes]) -> Shape:
    """Return flightctl's certificate with other extensions."""
    return MAKERS["flightctl"].shape.with_extensions(extensions)


def module(*ders: bytes, oid: str = HARDWARE_MODULE_NAME) -> Shape:
    """Return a certificate with these hardware modules, or otherNames of another type."""
    return MAKERS["hardware-module"].shape.with_names(*(other_name(oid, each) for each in ders))


def written_module(der: bytes) -> Shape:
    """Return a certificate with these bytes in the place of a hardware module."""
    return module().with_extensions(written_names((HARDWARE_MODULE_NAME, der)))


def account(text: str, *, beside: Sequence[x509.GeneralName] = ()) -> Shape:
    """Return Windows' certificate of an account."""
    named = other_name(USER_PRINCIPAL_NAME, asn1.encode_der(text))
    return MAKERS["windows"].shape.with_names(named, *beside)


def attested(content: bytes) -> Shape:
    """Return a certificate with a permanent identifier of this content."""
    der = b"\x30" + bytes([len(content)]) + content
    return MAKERS["attested"].shape.with_names(other_name(PERMANENT_IDENTIFIER, der))


GOOD = MAKERS["flightctl"].shape.extensions
PRESS_7 = "spiffe://example.com/fleet/line-a/device/press-7"
STEP = "press-7.line-a.devices.example.com"
TWINS: dict[str, tuple[str, Shape]] = {
    "flightctl: an enrollment certificate of the same CA": (
        "flightctl",
        extended(
            {**GOOD, FLIGHTCTL_SIGNER: asn1.encode_der("flightctl.io/device-enrollment")},
        ),
    ),
    "flightctl: the fingerprint under another OID": (
        "flightctl",
        extended(
            {
                FLIGHTCTL_SIGNER: GOOD[FLIGHTCTL_SIGNER],
                FLIGHTCTL_FINGERPRINT + ".1": GOOD[FLIGHTCTL_FINGERPRINT],
            },
        ),
    ),
    "flightctl: no DER": ("flightctl", extended({**GOOD, FLIGHTCTL_FINGERPRINT: b"abcdef"})),
    "flightctl: more behind the string": (
        "flightctl",
        extended({**GOOD, FLIGHTCTL_FINGERPRINT: printable("abc") + b"\x00"}),
    ),
    "flightctl: a length that is not DER": (
        "flightctl",
        extended({**GOOD, FLIGHTCTL_FINGERPRINT: b"\x0c\x81\x03abc"}),
    ),
    "flightctl: an octet string": (
        "flightctl",
        extended({**GOOD, FLIGHTCTL_FINGERPRINT: b"\x04\x03abc"}),
    ),
    "flightctl: a NUL in the extension": (
        "flightctl",
        extended({**GOOD, FLIGHTCTL_FINGERPRINT: b"\x16\x04abc\x00"}),
    ),
    "flightctl: no prefix": (
        "flightctl",
        renamed("flightctl", CN, lambda text: text.partition(":")[2]),
    ),
    "flightctl: the prefix in other case": (
        "flightctl",
        renamed("flightctl", CN, lambda text: text.replace("device", "Device")),
    ),
    "foundries: two factories": ("foundries", twice("foundries", OU, "other-factory")),
    "foundries: two devices": ("foundries", twice("foundries", CN, "other")),
    "foundries: no factory": ("foundries", without("foundries", OU)),
    "foundries: an embedded NUL": ("foundries", renamed("foundries", CN, lambda text: text + "\0")),
    "foundries: a NUL in the factory": (
        "foundries",
        renamed("foundries", OU, lambda text: text + "\0.other"),
    ),
    "foundries: a look-alike": (
        "foundries",
        renamed("foundries", CN, lambda text: text.replace("a", CYRILLIC_A)),
    ),
    "mender: another organization": (
        "mender",
        renamed("mender", ORG, lambda _: "Example Works Ltd"),
    ),
    "mender: the organization in other case": ("mender", renamed("mender", ORG, str.upper)),
    "mender: two spaces": ("mender", renamed("mender", ORG, lambda text: text.replace(" ", "  "))),
    "mender: another space": (
        "mender",
        renamed("mender", ORG, lambda text: text.replace(" ", "\u00a0")),
    ),
    "mender: two organizations": ("mender", twice("mender", ORG, "Example Works")),
    "aws-iot: the CN of certificates that AWS itself makes": (
        "aws-iot",
        renamed("aws-iot", CN, lambda _: "AWS IoT Certificate"),
    ),
    "aws-iot: two things": ("aws-iot", twice("aws-iot", CN, "thing_43")),
    "aws-iot: a slash": ("aws-iot", renamed("aws-iot", CN, lambda text: text + "/x")),
    "azure-dps: an empty CN": ("azure-dps", renamed("azure-dps", CN, lambda _: "")),
    "azure-dps: a path": ("azure-dps", renamed("azure-dps", CN, lambda _: "..")),
    "azure-dps: a full-width letter": (
        "azure-dps",
        renamed("azure-dps", CN, lambda text: text.replace("c", "\uff43")),
    ),
    "azure-dps: a line break": ("azure-dps", renamed("azure-dps", CN, lambda text: text + "\n")),
    "step-ca: two names": (
        "step-ca",
        MAKERS["step-ca"].shape.with_names(x509.DNSName(STEP), x509.DNSName("a.b.example.com")),
    ),
    "step-ca: upper case": (
        "step-ca",
        MAKERS["step-ca"].shape.with_names(x509.DNSName(STEP.upper())),
    ),
    "step-ca: a NUL": (
        "step-ca",
        MAKERS["step-ca"].shape.with_names(x509.DNSName("press-7\0.line-a.devices.example.com")),
    ),
    "step-ca: one label more": (
        "step-ca",
        MAKERS["step-ca"].shape.with_names(x509.DNSName("x." + STEP)),
    ),
    "step-ca: another domain behind ours": (
        "step-ca",
        MAKERS["step-ca"].shape.with_names(x509.DNSName(STEP + ".evil.example")),
    ),
    "step-ca: a final dot": (
        "step-ca",
        MAKERS["step-ca"].shape.with_names(x509.DNSName(STEP + ".")),
    ),
    "step-ca: a wildcard": (
        "step-ca",
        MAKERS["step-ca"].shape.with_names(x509.DNSName("*.line-a.devices.example.com")),
    ),
    "step-ca: a label that ends with a hyphen": (
        "step-ca",
        MAKERS["step-ca"].shape.with_names(x509.DNSName("press-.line-a.devices.example.com")),
    ),
    "flightctl: a name that no log line holds": (
        "flightctl",
        renamed("flightctl", CN, lambda text: text + "x" * 300),
    ),
    "step-ca: the name as CN alone": ("step-ca", MAKERS["step-ca"].shape.with_names()),
    "spire: another trust domain": (
        "spire",
        MAKERS["spire"].shape.with_names(uri(PRESS_7.replace("com", "org"))),
    ),
    "spire: two names": ("spire", MAKERS["spire"].shape.with_names(uri(PRESS_7), uri(PRESS_7))),
    "spire: the scheme in other case": (
        "spire",
        MAKERS["spire"].shape.with_names(uri(PRESS_7.replace("spiffe", "SPIFFE"))),
    ),
    "spire: escaped": (
        "spire",
        MAKERS["spire"].shape.with_names(uri(PRESS_7.replace("-7", "%2D7"))),
    ),
    "spire: dots": (
        "spire",
        MAKERS["spire"].shape.with_names(uri(PRESS_7.replace("press-7", ".."))),
    ),
    "hardware module: another type of module": (
        "hardware-module",
        module(bytes.fromhex("300a06032a03050403010203")),
    ),
    "hardware module: two": ("hardware-module", module(HARDWARE_MODULE, HARDWARE_MODULE)),
    "hardware module: two, one unreadable": (
        "hardware-module",
        module(HARDWARE_MODULE, b"\x05\x00"),
    ),
    "hardware module: none": ("hardware-module", module()),
    "hardware module: no number": ("hardware-module", module(bytes.fromhex("300706032a03040400"))),
    "hardware module: more behind it": ("hardware-module", written_module(HARDWARE_MODULE + b"\0")),
    "hardware module: more in it": (
        "hardware-module",
        module(bytes.fromhex("300c06032a030404030102030500")),
    ),
    "hardware module: a length that is not DER": (
        "hardware-module",
        written_module(bytes.fromhex("30810a06032a03040403010203")),
    ),
    "hardware module: an end that is not DER": (
        "hardware-module",
        written_module(bytes.fromhex("308006032a030404030102030000")),
    ),
    "hardware module: its text as a string": (
        "hardware-module",
        module(asn1.encode_der("1.2.3.4:010203")),
    ),
    "hardware module: under another type's OID": (
        "hardware-module",
        module(HARDWARE_MODULE, oid=PERMANENT_IDENTIFIER),
    ),
    "hardware module: endless": (
        "hardware-module",
        module(asn1.encode_der(b"\0" * MAX_OTHER_NAME_BYTES)),
    ),
    "hardware module: as an extension": (
        "hardware-module",
        module().with_extensions({HARDWARE_MODULE_NAME: HARDWARE_MODULE}),
    ),
    "windows: two accounts": (
        "windows",
        account(
            "kiosk-3@shops.example",
            beside=(other_name(USER_PRINCIPAL_NAME, asn1.encode_der("admin@shops.example")),),
        ),
    ),
    "windows: a NUL": ("windows", account("kiosk-3@shops.example\0")),
    "windows: a NUL before the domain": ("windows", account("kiosk-3\0@shops.example")),
    "windows: a look-alike": ("windows", account(f"kiosk-3@sh{CYRILLIC_A}ps.example")),
    "windows: two domains": ("windows", account("kiosk-3@shops.example@other.example")),
    "windows: an e-mail address in its place": (
        "windows",
        MAKERS["windows"].shape.with_names(x509.RFC822Name("kiosk-3@shops.example")),
    ),
    "windows: a BMPString": (
        "windows",
        MAKERS["windows"].shape.with_names(
            other_name(USER_PRINCIPAL_NAME, b"\x1e\x06" + "a@b".encode("utf-16-be"))
        ),
    ),
    "attested: no value": ("attested", attested(b"")),
    "attested: an assigner alone": ("attested", attested(bytes.fromhex("06022a03"))),
    "attested: a value as another assigner's reads": (
        "attested",
        attested(asn1.encode_der("1.2.3:C02XK1ZGJGH6")),
    ),
    "attested: assigner and value in other order": (
        "attested",
        attested(bytes.fromhex("06022a03") + asn1.encode_der("C02XK1ZGJGH6")),
    ),
    "attested: two values": ("attested", attested(asn1.encode_der("a") + asn1.encode_der("b"))),
    "idevid: another make": ("idevid", renamed("idevid", ORG, lambda _: "Example lnstruments")),
    "idevid: two serial numbers": ("idevid", twice("idevid", SERIAL, "PID:X SN:Y")),
    "idevid: no serial number": ("idevid", without("idevid", SERIAL)),
    "idevid: another form": ("idevid", renamed("idevid", SERIAL, lambda _: "FCW2233A5ZV")),
    "idevid: two parts in one": (
        "idevid",
        renamed("idevid", SERIAL, lambda text: text + " SN:OTHER"),
    ),
    "idevid: an extended key usage for servers": (
        "idevid",
        evolve(MAKERS["idevid"].shape, usages=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    ),
    "idevid: no word that its key is in hardware": (
        "idevid",
        evolve(MAKERS["idevid"].shape, policies=()),
    ),
    "idevid: the wrong word": (
        "idevid",
        evolve(MAKERS["idevid"].shape, policies=(TPM_RESIDENCY + ".1", "2.23.133.11.1.2")),
    ),
    "idevid: another curve": (
        "idevid",
        evolve(
            MAKERS["idevid"].shape, public_key=ec.generate_private_key(ec.SECP256K1()).public_key()
        ),
    ),
    "idevid: a type of key that is not allowed": (
        "idevid",
        evolve(
            MAKERS["idevid"].shape, public_key=ec.generate_private_key(ec.SECP521R1()).public_key()
        ),
    ),
}


@pytest.mark.parametrize("twin", TWINS)
def test_a_hostile_twin_is_nobody(twin: str) -> None:
    """Of the same CA and wrong in one part; nothing of it is quoted."""
    maker, shape = TWINS[twin]
    with pytest.raises(UnidentifiedDeviceError) as refused:
        PROFILES[maker].identify(shape.issue(CA), chain())
    assert "\0" not in str(refused.value)
    assert "example" not in str(refused.value).lower()


@EACH_MAKER
def test_a_missing_usage_is_refused_unless_the_profile_says_otherwise(maker: str) -> None:
    """An extended key usage that names something else is refused by every profile."""
    made = MAKERS[maker]
    missing = evolve(made.shape, usages=None).issue(CA)
    tolerant = loaded({**made.profile(maker, CA), "extended_key_usage": "may_be_missing"})
    strict = loaded({**made.profile(maker, CA), "extended_key_usage": "required"})
    assert tolerant.takes_usage(missing, chain())
    assert tolerant.identify(missing, chain()).id == made.value
    assert not tolerant.takes_usage(missing, chain(OTHER_CA))
    assert not strict.takes_usage(missing, chain())
    with pytest.raises(UnidentifiedDeviceError, match="not for client authentication"):
        strict.identify(missing, chain())
    wrong = evolve(made.shape, usages=(ExtendedKeyUsageOID.SERVER_AUTH,)).issue(CA)
    for profiles in (tolerant, strict):
        assert not profiles.takes_usage(wrong, chain())
        with pytest.raises(UnidentifiedDeviceError):
            profiles.identify(wrong, chain())


PLAIN = Shape(((CN, "press-7"),))


@pytest.mark.parametrize(
    "said",
    [
        evolve(PLAIN, policies=(TPM_RESIDENCY,)),
        evolve(PLAIN, extensions={TPM_RESIDENCY: b"\x05\x00"}),
        evolve(PLAIN, usages=(CLIENT, x509.ObjectIdentifier(TPM_RESIDENCY))),
    ],
    ids=["policy", "extension", "usage"],
)
def test_a_ca_says_in_three_places_that_a_key_is_in_hardware(said: Shape) -> None:
    """As a policy (TCG), as an extension, or as a key usage."""
    profiles = of_fields({"common_name": "{device}"}, hardware_key=TPM_RESIDENCY)
    assert profiles.identify(said.issue(CA), chain()).id == "press-7"
    with pytest.raises(UnidentifiedDeviceError, match="in hardware"):
        profiles.identify(PLAIN.issue(CA), chain())


def test_keys_of_other_types_are_nobodys() -> None:
    """An RSA key counts by its length."""
    shape = Shape(((CN, "press-7"),))
    keys: dict[str, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = {
        "p-256": ec.generate_private_key(ec.SECP256R1()),
        "p-384": ec.generate_private_key(ec.SECP384R1()),
        "rsa-2048": rsa.generate_private_key(65537, 2048),
    }
    for allowed, (name, key) in product(keys, keys.items()):
        profiles = of_fields({"common_name": "{device}"}, key_types=[allowed])
        certificate = evolve(shape, public_key=key.public_key()).issue(CA)
        if name == allowed:
            assert profiles.identify(certificate, chain()).id == "press-7"
        else:
            with pytest.raises(UnidentifiedDeviceError, match="type that is not allowed"):
                profiles.identify(certificate, chain())


@pytest.mark.parametrize("fleets", [("presses", "lathes"), ("presses", "presses")])
def test_a_certificate_that_fits_two_profiles_fits_none(fleets: tuple[str, str]) -> None:
    """Whichever came first would decide, and an operator could not see which."""
    both = loaded(
        *(
            {
                "name": f"profile-{number}",
                "authorities": CA.pem.decode(),
                "fields": {field: "{device}"},
                "fleet": fleet,
            }
            for number, (field, fleet) in enumerate(
                zip(("common_name", "dns"), fleets, strict=True)
            )
        )
    )
    subject, name = ((CN, "press-7"),), (x509.DNSName("press-7"),)
    assert both.identify(Shape(subject).issue(CA), chain()).id == "profile-0/press-7"
    assert both.identify(Shape(names=name).issue(CA), chain()).id == "profile-1/press-7"
    with pytest.raises(UnidentifiedDeviceError, match="fits 2 identity profiles, not one"):
        both.identify(Shape(subject, name).issue(CA), chain())


def test_two_cas_may_issue_one_name() -> None:
    """They are two devices, and neither CA can name a device of the other."""
    both = loaded(
        *(
            {
                "name": name,
                "authorities": ca.pem.decode(),
                "fields": {"common_name": "{device}"},
                "fleet": name,
            }
            for name, ca in (("line-a", CA), ("line-b", OTHER_CA))
        )
    )
    shape = Shape(((CN, "press-7"),))
    first = both.identify(shape.issue(CA), chain())
    second = both.identify(shape.issue(OTHER_CA), chain(OTHER_CA))
    assert (first.id, first.fleet) == ("line-a/press-7", "line-a")
    assert (second.id, second.fleet) == ("line-b/press-7", "line-b")


# Words with what separates them, and with what must never pass.
PIECES = ("a", "b7", "-", ".", "..", "_", ":", "/", " ", "A", "\0", CYRILLIC_A, "x y", "")
texts = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)
several = st.lists(texts, max_size=2)


def one_byte_else(content: bytes) -> st.SearchStrategy[bytes]:
    """Return bytes that differ from these in one place at most."""
    places, others = st.integers(0, len(content) - 1), st.binary(min_size=1, max_size=1)
    return st.builds(lambda at, new: content[:at] + new + content[at + 1 :], places, others)


WORD = set(string.ascii_letters + string.digits + "._-")
LABEL = set(string.ascii_lowercase + string.digits + "-")


def readings(pattern: str, text: str, letters: set[str]) -> Iterator[dict[str, str]]:
    """Yield every way to read a text by a pattern, by trying every length of each placeholder."""
    if not pattern.startswith("{"):
        if not pattern or not text:
            if not pattern and not text:
                yield {}
        elif pattern[0] == text[0]:
            yield from readings(pattern[1:], text[1:], letters)
        return
    name, _, rest = pattern[1:].partition("}")
    for end in range(1, len(text) + 1):
        word = text[:end]
        if set(word) <= letters and word not in {".", ".."}:
            yield from ({name: word, **each} for each in readings(rest, text[end:], letters))


PATTERNS: Mapping[str, tuple[str, ...]] = {
    "common_name": ("a:{device}", "{fleet}:{device}", "a-{device}", "{any} {device}"),
    "organizational_unit": ("{fleet}", "a b7", "a/{fleet}"),
    "organization": ("a", "{fleet}"),
    "serial_number": ("{device}:{any}", "{any} a:{device}"),
}
OIDS = {
    "common_name": CN,
    "organizational_unit": OU,
    "organization": ORG,
    "serial_number": SERIAL,
}


@st.composite
def profiles_of_subjects(draw: st.DrawFn) -> Mapping[str, str]:
    """Return fields that name one device, and at most one fleet."""
    fields = {draw(st.sampled_from(["common_name", "serial_number"])): ""}
    fields |= dict.fromkeys(draw(st.sets(st.sampled_from(["organizational_unit", "organization"]))))
    chosen = {name: draw(st.sampled_from(PATTERNS[name])) for name in fields}
    fleets = [name for name, pattern in chosen.items() if "{fleet}" in pattern]
    return {name: pattern for name, pattern in chosen.items() if name not in fleets[1:]}


def expected_of(
    fields: Mapping[str, str], values: Mapping[str, Sequence[str]], letters: set[str]
) -> tuple[str, str | None] | None:
    """Return device and fleet by trying everything, or None for nobody."""
    value, fleet = "", None
    for name, pattern in fields.items():
        if len(values[name]) != 1:
            return None
        found = list(readings(pattern, values[name][0], letters))
        assert len(found) <= 1, "a text can be read in two ways"
        if not found:
            return None
        if "device" in found[0]:
            value = values[name][0]
        fleet = found[0].get("fleet", fleet)
    return value, fleet


@given(profiles_of_subjects(), several, several, several, several)
def test_a_subject_is_read_as_trying_everything_reads_it(
    fields: Mapping[str, str], cns: list[str], ous: list[str], orgs: list[str], serials: list[str]
) -> None:
    """The oracle splits by brute force; the product reads by one expression."""
    values = {
        "common_name": cns,
        "organizational_unit": ous,
        "organization": orgs,
        "serial_number": serials,
    }
    shape = Shape(tuple((OIDS[name], text) for name, all_of in values.items() for text in all_of))
    profiles, certificate = of_fields(fields), shape.issue(CA)
    expected = expected_of(fields, values, WORD)
    if expected is None:
        with pytest.raises(UnidentifiedDeviceError):
            profiles.identify(certificate, chain())
    else:
        identity = profiles.identify(certificate, chain())
        assert (identity.id, identity.fleet) == expected


ALTERNATIVES = st.sampled_from(
    [
        ("dns", "{device}.{fleet}.b7"),
        ("dns", "a-{device}.b7"),
        ("dns", "{device}"),
        ("uri", "urn:a:{fleet}:{device}"),
        ("uri", "spiffe://a/{fleet}/{device}"),
        ("uri", "spiffe://a/b7/a-{device}"),
    ]
)
name_pieces = st.lists(
    st.sampled_from(
        ("a", "b7", ".", "-", "/", ":", "A", "urn:", "spiffe://a/", "\0", "%2e", "..", "b7/")
    ),
    max_size=6,
).map("".join)


@given(ALTERNATIVES, st.lists(name_pieces, max_size=2))
def test_a_name_is_read_as_trying_everything_reads_it(
    fields: tuple[str, str], names: list[str]
) -> None:
    """DNS and URI SANs; of a URI beside the device's own nothing counts."""
    field, pattern = fields
    made = [x509.DNSName(each) if field == "dns" else uri(each) for each in names]
    beside = uri("urn:other") if field == "dns" else x509.DNSName("other")
    certificate = Shape(names=(*made, beside)).issue(CA)
    expected = expected_of({field: pattern}, {field: names}, LABEL if field == "dns" else WORD)
    if not is_well_formed({field: pattern}, {field: names}):
        expected = None
    profiles = of_fields({field: pattern})
    if expected is None:
        with pytest.raises(UnidentifiedDeviceError):
            profiles.identify(certificate, chain())
    else:
        identity = profiles.identify(certificate, chain())
        assert (identity.id, identity.fleet) == expected


STRINGS = (asn1.encode_der, printable, lambda text: b"\x16" + bytes([len(text)]) + text.encode())


@given(st.text(string.ascii_letters + string.digits + "-.", max_size=20), st.sampled_from(STRINGS))
def test_an_extension_is_read_in_every_string_that_cas_write(
    text: str, encode: Callable[[str], bytes]
) -> None:
    """UTF8String, PrintableString and IA5String hold the same."""
    profiles = of_fields({"extensions": {"1.3.6.1.4.1.99999.9": "{device}"}})
    certificate = Shape(extensions={"1.3.6.1.4.1.99999.9": encode(text)}).issue(CA)
    if text in {"", ".", ".."}:
        with pytest.raises(UnidentifiedDeviceError):
            profiles.identify(certificate, chain())
    else:
        assert profiles.identify(certificate, chain()).id == text


def test_a_permanent_identifier_has_the_assigner_before_it() -> None:
    """Two assigners may give one value, and so may the CA itself (RFC 4043)."""
    fields = {"other_names": {PERMANENT_IDENTIFIER: "1.2.3:{device}"}}
    assigned = attested(asn1.encode_der("C02XK1ZGJGH6") + bytes.fromhex("06022a03"))
    assert of_fields(fields).identify(assigned.issue(CA), chain()).id == "1.2.3:C02XK1ZGJGH6"
    mac = attested(asn1.encode_der("00:1a:2b:3c:4d:5e")).issue(CA)
    assert PROFILES["attested"].identify(mac, chain()).id == "00:1a:2b:3c:4d:5e"


def length(content: bytes, tag: int) -> bytes:
    """Return DER of at most 127 bytes of content."""
    return bytes([tag, len(content)]) + content


TYPES = {"1.2": b"\x2a", "1.2.3": b"\x2a\x03", "2.5.4.128": b"\x55\x04\x81\x00"}
SPOILT: Mapping[str, Callable[[bytes], bytes]] = {
    "right": lambda der: der,
    "short": lambda der: der[:-1],
    "more": lambda der: der + b"\0",
    "a set": lambda der: b"\x31" + der[1:],
    "long length": lambda der: der[:1] + b"\x81" + der[1:],
    "a member more": lambda der: length(der[2:] + b"\x05\x00", 0x30),
}
MODULE_PATTERNS = st.sampled_from(
    ["{device}", "1.2.3:{device}", "{fleet}:{device}", "{device}:{any}", "1.2.3:{any}:{device}"]
)
modules = st.tuples(
    st.sampled_from(sorted(TYPES)), st.binary(max_size=6), st.sampled_from(sorted(SPOILT))
)


@given(MODULE_PATTERNS, st.lists(modules, max_size=2))
def test_a_hardware_module_is_read_as_trying_everything_reads_it(
    pattern: str, named: list[tuple[str, bytes, str]]
) -> None:
    """The oracle knows what was written; each otherName that is not DER is nobody's."""
    ders = [
        SPOILT[spoilt](length(length(TYPES[oid], 6) + length(number, 4), 0x30))
        for oid, number, spoilt in named
    ]
    profiles = of_fields({"other_names": {HARDWARE_MODULE_NAME: pattern}})
    written = written_names(*((HARDWARE_MODULE_NAME, each) for each in ders))
    certificate = Shape(extensions=written).issue(CA)
    values = [f"{oid}:{number.hex()}" if spoilt == "right" else "" for oid, number, spoilt in named]
    letters = WORD | {":"} if pattern == "{device}" else WORD
    expected = expected_of({"other": pattern}, {"other": values}, letters)
    if expected is None:
        with pytest.raises(UnidentifiedDeviceError):
            profiles.identify(certificate, chain())
    else:
        identity = profiles.identify(certificate, chain())
        assert (identity.id, identity.fleet) == expected


@given(
    st.sampled_from([HARDWARE_MODULE_NAME, PERMANENT_IDENTIFIER, USER_PRINCIPAL_NAME]),
    st.binary(max_size=60) | st.just(HARDWARE_MODULE).flatmap(one_byte_else),
)
def test_any_other_name_is_one_text_or_nobody(oid: str, der: bytes) -> None:
    """Whoever holds the CA's key may put anything there."""
    profiles = of_fields({"other_names": {oid: "{device}"}})
    certificate = Shape(extensions=written_names((oid, der))).issue(CA)
    try:
        identity = profiles.identify(certificate, chain())
    except UnidentifiedDeviceError:
        return
    if oid == USER_PRINCIPAL_NAME:
        assert der[2:] == identity.id.encode()
    else:
        assert (der[0], der[1]) == (0x30, len(der) - 2)


@given(st.binary(max_size=40))
def test_any_extension_is_a_text_of_its_pattern_or_nobody(der: bytes) -> None:
    """Whoever holds the CA's key may put anything there."""
    profiles = of_fields({"extensions": {"1.3.6.1.4.1.99999.9": "{device}"}})
    certificate = Shape(extensions={"1.3.6.1.4.1.99999.9": der}).issue(CA)
    try:
        identity = profiles.identify(certificate, chain())
    except UnidentifiedDeviceError:
        return
    assert der[2:] == identity.id.encode()


def flat(fields: Mapping[str, object]) -> dict[str, str]:
    """Return the patterns of a profile by field, extensions by their OIDs."""
    found = dict(fields)
    extensions = found.pop("extensions", {})
    assert isinstance(extensions, dict)
    return {name: str(pattern) for name, pattern in {**found, **extensions}.items()}


def values_of(shape: Shape, name: str) -> list[str]:
    """Return what a certificate says in a field of a profile."""
    if name in OIDS:
        return [text for oid, text in shape.subject if oid == OIDS[name]]
    if name in shape.extensions:
        return [shape.extensions[name][2:].decode()]
    return [str(each.value) for each in shape.names]


def with_values(shape: Shape, values: Mapping[str, Sequence[str]]) -> Shape:
    """Return it with these values of the fields of its profile, and nothing else."""
    subject = [(OIDS[name], text) for name in OIDS.keys() & values for text in values[name]]
    names = [x509.DNSName(text) for text in values.get("dns", ())]
    uris = [uri(text) for text in values.get("uri", ())]
    oids = {name: printable(texts[0]) for name, texts in values.items() if name[0] == "1" and texts}
    return evolve(shape, subject=tuple(subject), names=(*names, *uris), extensions=oids)


@st.composite
def changed(draw: st.DrawFn, texts: Sequence[str]) -> list[str]:
    """Return what stands in a field, mostly with a letter of it changed, or none, or two."""
    how = draw(st.sampled_from(["as it is", "a letter", "a letter", "a letter", "twice", "gone"]))
    if how == "as it is":
        return list(texts)
    if how == "gone":
        return []
    text = texts[0]
    at = draw(st.integers(0, len(text) - 1))
    letter = draw(st.sampled_from(["A", "b", "7", " ", ":", "/", ".", ""]))
    other = text[:at] + letter + text[at + 1 :]
    return [text, other] if how == "twice" else [other]


@EACH_MAKER
@settings(max_examples=30)
@given(data=st.data())
def test_a_fleets_certificate_is_read_as_trying_everything_reads_it(
    maker: str, data: st.DataObject
) -> None:
    """Each field of its profile as it is, with a letter changed, twice, or not there."""
    made = MAKERS[maker]
    fields = flat(made.fields)
    values = {name: data.draw(changed(values_of(made.shape, name)), label=name) for name in fields}
    values = {name: each[:1] if name[0] == "1" else each for name, each in values.items()}
    letters = LABEL if "dns" in fields else WORD | ({":"} if maker in WHOLE_NAMES else set())
    expected = expected_of(fields, values, letters)
    certificate = with_values(made.shape, values).issue(CA)
    if expected is not None and is_well_formed(fields, values):
        identity = PROFILES[maker].identify(certificate, chain())
        fleet = made.rest.get("fleet", expected[1])
        assert (identity.id, identity.fleet) == (expected[0], fleet)
    else:
        with pytest.raises(UnidentifiedDeviceError):
            PROFILES[maker].identify(certificate, chain())


# A field that is the device's name as a whole may hold `:`.
WHOLE_NAMES = {name for name, each in MAKERS.items() if "{device}" in each.fields.values()}


def is_well_formed(fields: Mapping[str, str], values: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether DNS names have labels, and a fleet no `:` (a device's name alone may)."""
    dns_names = values["dns"] if "dns" in fields else []
    labels = [label for name in dns_names for label in name.split(".")]
    fleets = values["organizational_unit"] if "organizational_unit" in fields else []
    return all(each and each[0] != "-" != each[-1] for each in labels) and not any(
        ":" in each for each in fleets
    )
