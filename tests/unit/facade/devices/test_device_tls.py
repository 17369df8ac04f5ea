"""What stands in the files is used as far as it can be: one broken file holds no other back."""

from collections.abc import Callable

import attrs
import pytest

from deploy.dev.device_ca import CertificateAuthority
from facade.devices.device_tls import CERTIFICATE, DEVICE_CA, DEVICE_CRL, KEY, DeviceTls, TlsFiles
from facade.devices.tls import TlsConfigurationError
from facade.values.authority import Authority

SERVER_CA = CertificateAuthority.create("server CA")
FIRST, SECOND = (CertificateAuthority.create(name) for name in ("first CA", "second CA"))
SERVER, OTHER_SERVER = (SERVER_CA.issue_server() for _ in range(2))
GOOD = TlsFiles(SERVER.chain_pem, SERVER.key_pem, FIRST.pem, FIRST.crl())
GARBAGE = b"garbage"


@pytest.fixture
def current() -> DeviceTls:
    """What is used now."""
    return DeviceTls.load(GOOD, "1.3")


def test_everything_new_is_used_at_once(current: DeviceTls) -> None:
    """CAs and their CRLs go together."""
    found = TlsFiles(OTHER_SERVER.chain_pem, OTHER_SERVER.key_pem, SECOND.pem, SECOND.crl([1]))
    used, refused = current.succeeded_by(found, "1.3")
    assert (used.files, refused) == (found, {})
    assert used.trust.authorities == {Authority.of(SECOND.certificate)}
    assert used.context is not current.context


def test_nothing_new_is_the_same(current: DeviceTls) -> None:
    """No context is made for nothing."""
    used, refused = current.succeeded_by(attrs.evolve(GOOD), "1.3")
    assert used is current
    assert refused == {}


HALVES: dict[str, tuple[TlsFiles, TlsFiles | None, set[str]]] = {
    "a certificate without its key": (
        attrs.evolve(GOOD, certificate=OTHER_SERVER.chain_pem),
        GOOD,
        {CERTIFICATE},
    ),
    "a key without its certificate": (attrs.evolve(GOOD, key=OTHER_SERVER.key_pem), GOOD, {KEY}),
    "a broken CRL beside a new CA": (
        attrs.evolve(GOOD, device_ca=FIRST.pem + SECOND.pem, device_crl=GARBAGE),
        attrs.evolve(GOOD, device_ca=FIRST.pem + SECOND.pem),
        {DEVICE_CRL},
    ),
    "a broken CA beside a new CRL": (
        attrs.evolve(GOOD, device_ca=GARBAGE, device_crl=FIRST.crl([5])),
        None,
        {DEVICE_CA},
    ),
    "a CRL of a CA with the same name": (
        attrs.evolve(GOOD, device_crl=CertificateAuthority.create("first CA").crl()),
        GOOD,
        {DEVICE_CRL},
    ),
    "a broken CRL beside a new certificate": (
        attrs.evolve(
            GOOD,
            certificate=OTHER_SERVER.chain_pem,
            key=OTHER_SERVER.key_pem,
            device_crl=GARBAGE,
        ),
        attrs.evolve(GOOD, certificate=OTHER_SERVER.chain_pem, key=OTHER_SERVER.key_pem),
        {DEVICE_CRL},
    ),
}


@pytest.mark.parametrize("case", HALVES)
def test_what_is_broken_keeps_its_old_content_and_nothing_else_back(
    current: DeviceTls, case: str
) -> None:
    """The rest is taken over."""
    found, expected, refused_settings = HALVES[case]
    used, refused = current.succeeded_by(found, "1.3")
    if expected is None:
        expected = attrs.evolve(GOOD, device_crl=found.device_crl)
    assert used.files == expected
    assert refused.keys() == refused_settings
    assert all(refused.values())


BROKEN: dict[str, Callable[[TlsFiles], TlsFiles]] = {
    CERTIFICATE: lambda files: attrs.evolve(files, certificate=GARBAGE),
    KEY: lambda files: attrs.evolve(files, key=GARBAGE),
    DEVICE_CA: lambda files: attrs.evolve(files, device_ca=GARBAGE),
    DEVICE_CRL: lambda files: attrs.evolve(files, device_crl=GARBAGE),
}


@pytest.mark.parametrize("setting", BROKEN)
def test_at_the_start_a_broken_file_is_named(setting: str) -> None:
    """And nothing of it is quoted."""
    with pytest.raises(TlsConfigurationError, match=setting) as refused:
        DeviceTls.load(BROKEN[setting](GOOD), "1.3")
    assert "garbage" not in str(refused.value)
