"""CRLs: what they say is found, and what cannot be kept to is refused in words of our own."""

import datetime as dt
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.device_ca import CertificateAuthority
from facade.devices.revocation_list import InvalidRevocationListError, RevocationList

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)
SERIALS = st.integers(1, 2**159 - 1)  # RFC 5280 section 4.1.2.2: at most 20 octets


def distribution_point(**changes: Any) -> x509.IssuingDistributionPoint:
    """Return a restriction of what a list is about."""
    nothing: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(nothing | changes))


def builder_of(ca: CertificateAuthority) -> x509.CertificateRevocationListBuilder:
    """Return a list to add to."""
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.certificate.subject)
        .last_update(NOW)
        .next_update(NOW + DAY)
    )


def pem_of(builder: x509.CertificateRevocationListBuilder, ca: CertificateAuthority) -> bytes:
    """Sign a list."""
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_list_says_whose_it_is_until_when_and_whom_it_revokes(
    device_ca: CertificateAuthority,
) -> None:
    """All that is asked of it later."""
    pem = device_ca.crl([5, 7], last_update=NOW, next_update=NOW + DAY)
    (parsed,) = RevocationList.parse_all(pem)
    assert parsed.serials == {5, 7}
    assert (parsed.this_update, parsed.next_update) == (NOW, NOW + DAY)
    assert parsed.is_signed_by(device_ca.certificate)


@given(st.sets(SERIALS, max_size=20))
def test_every_serial_is_found_and_no_other(serials: set[int]) -> None:
    """The largest and the empty set too."""
    (parsed,) = RevocationList.parse_all(CA.crl(serials))
    assert parsed.serials == serials


CA = CertificateAuthority.create("device CA of these tests")
WHOLE = CA.crl([1, 2, 3])


@given(st.binary(max_size=400))
def test_bytes_that_are_no_list_are_refused(content: bytes) -> None:
    """Whatever they are."""
    with pytest.raises(InvalidRevocationListError):
        RevocationList.parse_all(content)


def der_changed(position: int, byte: int) -> bytes:
    """Return the list, in PEM, with another byte in its DER."""
    der = x509.load_pem_x509_crl(WHOLE).public_bytes(Encoding.DER)
    changed = der[:position] + bytes([byte]) + der[position + 1 :]
    return b"-----BEGIN X509 CRL-----\n%b\n-----END X509 CRL-----" % b64encode(changed)


def test_a_list_of_another_version_is_refused() -> None:
    """What the library raises for it is no ValueError."""
    with pytest.raises(InvalidRevocationListError):
        RevocationList.parse_all(der_changed(9, 0))


# cryptography warns of names that are odd, and reads them.
@pytest.mark.filterwarnings("ignore::UserWarning")
@given(st.data())
def test_a_list_with_any_byte_changed_is_refused_or_not_signed(data: st.DataObject) -> None:
    """No changed list is believed, and none fails in another way than by being refused."""
    der = x509.load_pem_x509_crl(WHOLE).public_bytes(Encoding.DER)
    position = data.draw(st.integers(0, len(der) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda each: each != der[position]))
    try:
        (parsed,) = RevocationList.parse_all(der_changed(position, byte))
    except InvalidRevocationListError:
        return
    assert not parsed.is_signed_by(CA.certificate)


@given(st.integers(0, len(WHOLE) - 2))
def test_a_list_that_is_cut_off_is_refused(length: int) -> None:
    """As a file is that is being written."""
    if b"-----END X509 CRL-----" in WHOLE[:length]:
        return
    with pytest.raises(InvalidRevocationListError):
        RevocationList.parse_all(WHOLE[:length])


def test_several_lists_in_one_file_are_all_read() -> None:
    """One for each CA in use."""
    other = CertificateAuthority.create("another")
    parsed = RevocationList.parse_all(b"a comment\n" + CA.crl([1]) + b"\n" + other.crl([2]))
    assert [each.serials for each in parsed] == [{1}, {2}]


def test_a_list_belongs_to_the_key_and_not_to_the_name(
    device_ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    """Two CAs of one name are told apart by the signature alone."""
    (parsed,) = RevocationList.parse_all(device_ca.crl())
    assert parsed.is_signed_by(device_ca.certificate)
    assert not parsed.is_signed_by(other_ca.certificate)


UNSUPPORTED: dict[
    str, Callable[[x509.CertificateRevocationListBuilder], x509.CertificateRevocationListBuilder]
] = {
    "delta": lambda builder: builder.add_extension(x509.DeltaCRLIndicator(1), critical=True),
    "indirect": lambda builder: builder.add_extension(
        distribution_point(indirect_crl=True), critical=True
    ),
    "some reasons": lambda builder: builder.add_extension(
        distribution_point(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise])),
        critical=True,
    ),
    "leaves devices out": lambda builder: builder.add_extension(
        distribution_point(only_contains_ca_certs=True), critical=True
    ),
    "unknown critical extension": lambda builder: builder.add_extension(
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), critical=True
    ),
}


@pytest.mark.parametrize("words", UNSUPPORTED)
def test_what_is_not_a_complete_list_is_refused_by_name(words: str) -> None:
    """Whoever configures it is to know what to ask the CA for."""
    pem = pem_of(UNSUPPORTED[words](builder_of(CA)), CA)
    with pytest.raises(InvalidRevocationListError, match=words):
        RevocationList.parse_all(pem)


def test_a_list_of_user_certificates_alone_is_taken() -> None:
    """Devices are users; some CAs keep a list of their own for them."""
    point = distribution_point(only_contains_user_certs=True)
    RevocationList.parse_all(pem_of(builder_of(CA).add_extension(point, critical=True), CA))


def test_certificates_beside_lists_are_refused() -> None:
    """A bundle of everything is more often a mistake than a wish."""
    with pytest.raises(InvalidRevocationListError, match="beside"):
        RevocationList.parse_all(CA.crl() + CA.pem)
