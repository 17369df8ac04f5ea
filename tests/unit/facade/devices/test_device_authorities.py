"""Which certificates of a bundle are CAs, who issued whom, and which are anchors of their own."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from deploy.dev.device_ca import CertificateAuthority
from facade.devices.device_authorities import CertificateBundle, is_authority, is_issued_by, named
from facade.devices.device_trust import DeviceTrust

NOW = dt.datetime.now(dt.UTC)
KEY, ISSUER_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
ROOT = CertificateAuthority.create("root")
LINE = ROOT.make_intermediate("line")
CROSS_SIGNED = 30
CONSTRAINTS = {is_ca: x509.BasicConstraints(ca=is_ca, path_length=None) for is_ca in (True, False)}
OLD_TYPE = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("2.16.840.1.113730.1.1"), b"\x03\x02\x00\x07"
)


def usage(*, may_sign: bool) -> x509.KeyUsage:
    """Return a key usage with or without keyCertSign."""
    others = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=may_sign, crl_sign=may_sign, **others
    )


def certificate(
    *extensions: x509.ExtensionType,
    subject: x509.Name | str = "subject",
    issuer: x509.Name | str = "issuer",
    key: ec.EllipticCurvePrivateKey = ISSUER_KEY,
) -> x509.Certificate:
    """Return a certificate with nothing in it but these."""
    builder = x509.CertificateBuilder(
        issuer_name=issuer if isinstance(issuer, x509.Name) else name(issuer),
        subject_name=subject if isinstance(subject, x509.Name) else name(subject),
        public_key=KEY.public_key(),
        serial_number=4711,
        not_valid_before=NOW,
        not_valid_after=NOW + dt.timedelta(days=1),
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256())


def name(text: str, form: _ASN1Type = _ASN1Type.UTF8String) -> x509.Name:
    """Return a name of one common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, form)])


@pytest.mark.parametrize(
    "extensions, expected",
    [
        ((CONSTRAINTS[True],), True),
        ((CONSTRAINTS[True], usage(may_sign=True)), True),
        ((CONSTRAINTS[True], usage(may_sign=False)), False),
        ((CONSTRAINTS[False],), False),
        ((CONSTRAINTS[False], usage(may_sign=True)), False),
        ((usage(may_sign=True),), True),
        ((usage(may_sign=False),), False),
        ((), False),
        ((OLD_TYPE,), True),
    ],
)
def test_a_ca_is_what_openssl_takes_for_one(
    extensions: tuple[x509.ExtensionType, ...],
    expected: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Old CAs say it by their key usage alone, and very old ones in Netscape's way."""
    assert is_authority(certificate(*extensions)) is expected


def test_who_issued_is_told_by_name_and_signature() -> None:
    """A namesake is not the issuer."""
    namesake = CertificateAuthority.create("root")
    assert is_issued_by(LINE.certificate, ROOT.certificate)
    assert is_issued_by(ROOT.certificate, ROOT.certificate)
    assert not is_issued_by(LINE.certificate, namesake.certificate)
    assert not is_issued_by(ROOT.certificate, LINE.certificate)


@pytest.mark.parametrize(
    "written",
    [
        name("corporate  ROOT "),
        name("Corporate Root", _ASN1Type.PrintableString),
        name("Corporate Root", _ASN1Type.T61String),
    ],
)
def test_names_are_compared_as_openssl_does(written: x509.Name) -> None:
    """Neither case nor spacing nor the kind of string counts: the chain goes up to such a root."""
    root = certificate(
        CONSTRAINTS[True], subject="Corporate Root", issuer="Corporate Root", key=KEY
    )
    below = certificate(CONSTRAINTS[True], subject="line", issuer=written, key=KEY)
    assert CertificateBundle.of([root, below]).lone_anchors == []
    assert CertificateBundle.of([below]).lone_anchors == [below]


def test_a_lone_anchor_is_whose_issuer_is_not_in_the_bundle() -> None:
    """In any order, and each once."""
    cell = LINE.make_intermediate("cell")
    for bundle, lone in (
        ([ROOT], []),
        ([LINE], [LINE]),
        ([ROOT, LINE, cell], []),
        ([cell, LINE, ROOT], []),
        ([cell, LINE], [LINE]),
        ([cell, ROOT], [cell]),
        ([LINE, LINE], [LINE]),
        ([CertificateAuthority.create("root"), LINE], [LINE]),
    ):
        found = CertificateBundle.of(each.certificate for each in bundle).lone_anchors
        assert found == [each.certificate for each in lone]


def test_two_that_issued_each_other_are_no_anchors() -> None:
    """Each one's issuer is there, and neither is trusted for itself; as it ever was."""
    first, second = (CertificateAuthority.create(each) for each in ("first", "second"))
    pair = [first.cross_signed_by(second).certificate, second.cross_signed_by(first).certificate]
    bundle = CertificateBundle.of(pair)
    assert bundle.lone_anchors == []
    assert bundle.periods_of(pair[0]) == []
    standing = DeviceTrust.build(pair, None).standing(NOW)
    assert not standing.accepts_some
    assert "no longer trusted" in standing.problems[0]


def test_a_ca_is_valid_while_all_above_it_are() -> None:
    """Of each chain that goes up from it."""
    hours = dt.timedelta(hours=1)
    root = ROOT.renewed(not_before=NOW - 3 * hours, not_after=NOW + 3 * hours)
    other = CertificateAuthority.create("other root")
    line = root.make_intermediate("line", not_before=NOW - 4 * hours, not_after=NOW + 2 * hours)
    theirs = line.cross_signed_by(other, not_after=NOW + 9 * hours)
    bundle = CertificateBundle.of(each.certificate for each in (root, line, theirs))
    (ours,), (lone,) = (bundle.periods_of(each.certificate) for each in (line, theirs))
    assert ours == (root.certificate.not_valid_before_utc, line.certificate.not_valid_after_utc)
    assert lone[1] == theirs.certificate.not_valid_after_utc
    assert bundle.periods_of(root.certificate)[0][1] == root.certificate.not_valid_after_utc


def test_cas_that_signed_each_other_take_no_walk_over_all_their_chains() -> None:
    """Those of 30 CAs, each signed by five others, are beyond counting."""
    days = [NOW.replace(microsecond=0) + dt.timedelta(days=each) for each in range(61)]
    cas = [CertificateAuthority.create(f"CA {number}") for number in range(CROSS_SIGNED)]
    crossed = {
        (number, by % CROSS_SIGNED): each.cross_signed_by(
            cas[by % CROSS_SIGNED], not_after=days[60]
        )
        for number, each in enumerate(cas)
        for by in range(number + 1, number + 6)
    }
    for number in (25, 26, 28, 29):  # what the root signed itself, but for one
        crossed[number, 0] = cas[number].cross_signed_by(cas[0], not_after=days[1])
    crossed[27, 0] = cas[27].cross_signed_by(cas[0], not_after=days[29])
    certificates = {pair: each.certificate for pair, each in crossed.items()}
    bundle = CertificateBundle.of([*certificates.values(), cas[0].certificate])
    assert len(bundle.issuers_of(certificates[3, 4])) == 5
    ends = {pair: bundle.periods_of(each)[0][1] for pair, each in certificates.items()}
    assert set(ends.values()) == {days[1], days[29]}
    assert {pair for pair, end in ends.items() if end == days[1]} == {
        (number, 0) for number in (25, 26, 28, 29)
    }
    rootless = CertificateBundle.of(certificates.values())
    assert not any(rootless.periods_of(each) for each in certificates.values())


def test_a_ca_with_gaps_between_its_chains_has_several_periods() -> None:
    """A renewal that came late is no time in between."""
    hours = dt.timedelta(hours=1)
    early = ROOT.renewed(not_before=NOW, not_after=NOW + hours)
    late = ROOT.renewed(not_before=NOW + 2 * hours, not_after=NOW + 3 * hours)
    line = ROOT.make_intermediate("line", not_before=NOW, not_after=NOW + 9 * hours)
    bundle = CertificateBundle.of(each.certificate for each in (early, late, line))
    assert bundle.periods_of(line.certificate) == [
        (each.certificate.not_valid_before_utc, each.certificate.not_valid_after_utc)
        for each in (early, late)
    ]
    gone = ROOT.make_intermediate("gone", not_before=NOW - 2 * hours, not_after=NOW - hours)
    bundle = CertificateBundle.of(each.certificate for each in (early, late, gone))
    ((begin, end),) = bundle.periods_of(gone.certificate)
    assert begin > end  # a chain that was never valid as a whole is a chain, and has ended


def test_a_certificate_is_named_within_bounds() -> None:
    """The file is the operator's own; a terminal is told nothing else by it."""
    assert named(ROOT.certificate).endswith(", CN=root")
    assert named(certificate(subject="a\n\x1b[2Jb")).isprintable()
    assert named(certificate(subject=x509.Name([]))).startswith("serial 1267")
