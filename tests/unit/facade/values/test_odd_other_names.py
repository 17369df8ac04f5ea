"""What a CA may put into an otherName: none is a device, an unforeseen error, or long work."""

from collections.abc import Mapping, Sequence
from typing import Final

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deploy.dev.device_ca import CertificateAuthority
from facade.devices.identification import load_profiles
from facade.values.device_identity import UnidentifiedDeviceError
from facade.values.identity_profiles import IdentityProfiles
from tests.support.fleet_certificates import HARDWARE_MODULE, Shape, der, written_names
from tests.support.odd_names import DEEP, KINDS, LONG, MALFORMED, MOST_LEVELS

CA: Final = CertificateAuthority.create("a CA")
ODD: Final[Mapping[str, Sequence[bytes]]] = {**LONG, **DEEP, **MALFORMED}
TAGS: Final = st.sampled_from((0x30, 0x31, 0x0C, 0x2C, 0x04, 0x24, 0x06, 0x13, 0x16, 0xA0, 0xA1))


def profiles_of(oid: str) -> IdentityProfiles:
    """Return a profile that takes whatever stands in an otherName of this type."""
    fields = {"other_names": {oid: "{device}"}}
    profile = {"name": "alone", "authorities": CA.pem.decode(), "fields": fields}
    return load_profiles(orjson.dumps({"profiles": [profile]}))


PROFILES: Final = {oid: profiles_of(oid) for oid in KINDS}


def device_of(oid: str, values: Sequence[bytes]) -> str | None:
    """Return whom the facade takes a certificate with such names for; None: for nobody."""
    certificate = Shape(extensions=written_names(*((oid, each) for each in values))).issue(CA)
    try:
        return PROFILES[oid].identify(certificate, [CA.certificate]).id
    except UnidentifiedDeviceError:
        return None


@pytest.mark.parametrize("oid", KINDS)
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_name_is_nobodys(odd: str, oid: str) -> None:
    """However long, deep or malformed it is."""
    assert device_of(oid, ODD[odd]) is None


def test_the_same_names_are_somebodys_if_they_are_right() -> None:
    """What was looked at above are names of which one byte more or less makes the difference."""
    assert device_of(KINDS[0], [HARDWARE_MODULE]) == "1.2.3.4:010203"
    assert device_of(KINDS[2], [der(0x0C, b"press-7")]) == "press-7"


@st.composite
def nested(draw: st.DrawFn) -> bytes:
    """Return values within values, one of whose lengths may be another one."""
    value = draw(st.binary(max_size=8))
    for _ in range(draw(st.integers(0, 40))):
        beside = draw(st.sampled_from((b"", b"", b"\x05\x00", b"\x04\x01a", b"\x06\x01\x2a")))
        value = der(draw(TAGS), beside + value)
    if value and draw(st.booleans()):
        spoilt = bytearray(value)
        spoilt[draw(st.integers(0, len(spoilt) - 1))] = draw(st.integers(0, 255))
        return bytes(spoilt)
    return value


@given(st.sampled_from(KINDS), st.lists(nested(), min_size=1, max_size=3))
@example(KINDS[0], [DEEP["sequences"][0]])
@example(KINDS[1], [der(0x30, b"\x0c\x01a" * MOST_LEVELS)])
def test_any_values_in_each_other_are_one_text_or_nobodys(oid: str, values: list[bytes]) -> None:
    """And that text is printable, and stands in the certificate as what it is."""
    device = device_of(oid, values)
    if device is None:
        return
    assert len(values) == 1
    assert device.isprintable()
    text = device.rpartition(":")[2] if oid != KINDS[2] else device
    in_hex = bytes.fromhex(text) if oid == KINDS[0] else text.encode()
    assert in_hex in values[0]
