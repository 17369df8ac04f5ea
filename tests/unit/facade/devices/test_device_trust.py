"""Which certificates CAs and CRLs accept together, at a time."""

import datetime as dt

import attrs
import pytest

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from facade.devices.device_trust import DeviceTrust
from facade.devices.presented_device import PresentedDevice
from facade.devices.revocation_list import InvalidRevocationListError, RevocationList
from facade.values.authority import Authority

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
FIRST, SECOND = (CertificateAuthority.create(name) for name in ("first CA", "second CA"))
NAMESAKE = CertificateAuthority.create("first CA")


def trust(*authorities: CertificateAuthority, crl: bytes | None = None) -> DeviceTrust:
    """Return the trust in these."""
    lists = None if crl is None else RevocationList.parse_all(crl)
    return DeviceTrust.build([each.certificate for each in authorities], lists)


def presented(
    issued: IssuedCertificate,
    by: CertificateAuthority,
    anchor: CertificateAuthority | None = None,
) -> PresentedDevice:
    """Return a device as it is after its handshake."""
    return PresentedDevice(
        identity=None,
        issuer=by.certificate.subject.rfc4514_string(),
        serial=issued.serial,
        not_after=issued.certificate.not_valid_after_utc,
        issued_by=Authority.of(by.certificate),
        anchored_in=Authority.of((anchor or by).certificate),
    )


DEVICE = FIRST.issue_device()


def test_without_crls_every_device_of_a_trusted_ca_is_accepted() -> None:
    """Until its certificate expires, and no longer."""
    device = presented(DEVICE, FIRST)
    assert trust(FIRST, SECOND).refusal(device, NOW) is None
    assert trust(FIRST).refusal(device, device.not_after) == "the certificate has expired"


def test_a_ca_that_is_taken_out_takes_its_devices_with_it() -> None:
    """Another key under its name is another CA; its own certificate, renewed, is not."""
    device = presented(DEVICE, FIRST)
    for others in (trust(SECOND), trust(NAMESAKE)):
        assert others.refusal(device, NOW) == "the certificate's CA is no longer trusted"
    assert trust(NAMESAKE, FIRST).refusal(device, NOW) is None


def test_a_device_in_the_crl_is_refused_and_its_neighbour_is_not() -> None:
    """Of this CA alone: two CAs may give out the same number."""
    device, neighbour = presented(DEVICE, FIRST), presented(FIRST.issue_device(), FIRST)
    listed = trust(FIRST, SECOND, crl=FIRST.crl([DEVICE.serial]) + SECOND.crl())
    assert listed.refusal(device, NOW) == "the certificate is in its CA's CRL"
    assert listed.refusal(neighbour, NOW) is None
    of_second = attrs.evolve(
        device,
        issued_by=Authority.of(SECOND.certificate),
        anchored_in=Authority.of(SECOND.certificate),
    )
    assert listed.refusal(of_second, NOW) is None


def test_an_expired_crl_refuses_its_cas_devices_alone() -> None:
    """Nobody knows any more who was revoked since; of the others it is known."""
    device, other = presented(DEVICE, FIRST), presented(SECOND.issue_device(), SECOND)
    short = FIRST.crl(next_update=NOW + dt.timedelta(hours=1)) + SECOND.crl()
    listed = trust(FIRST, SECOND, crl=short)
    assert listed.refusal(device, NOW) is None
    assert listed.standing(NOW).problems == ()
    later = NOW + dt.timedelta(hours=1)
    assert listed.refusal(device, later) == "the CRL of the certificate's CA has expired"
    assert listed.refusal(other, later) is None
    standing = listed.standing(later)
    assert standing.accepts_some
    assert standing.problems == (
        "devices of CN=first CA are refused: the CRL of the certificate's CA has expired",
    )


def test_a_ca_without_a_crl_is_refused_where_there_are_crls() -> None:
    """What is not known to be good is not good."""
    other = presented(SECOND.issue_device(), SECOND)
    listed = trust(FIRST, SECOND, crl=FIRST.crl())
    assert listed.refusal(other, NOW) == "there is no CRL of the certificate's CA"
    assert len(listed.standing(NOW).problems) == 1
    nobody = trust(FIRST, crl=SECOND.crl())
    assert not nobody.standing(NOW).accepts_some
    assert nobody.unused_lists == ("CN=second CA",)


def test_a_crl_that_is_not_valid_yet_says_nothing_yet() -> None:
    """Clocks differ; OpenSSL sees it so, too."""
    early = FIRST.crl(last_update=NOW + DAY, next_update=NOW + 2 * DAY)
    refusal = trust(FIRST, crl=early).refusal(presented(DEVICE, FIRST), NOW)
    assert refusal == "the CRL of the certificate's CA is not valid yet"


def test_below_an_intermediate_the_issuers_crl_counts() -> None:
    """The root above it needs none of its own for devices."""
    below = FIRST.make_intermediate("line A CA")
    issued = below.issue_device()
    device = presented(issued, below, FIRST)
    assert trust(FIRST, below, crl=below.crl()).refusal(device, NOW) is None
    assert trust(FIRST, below, crl=below.crl()).standing(NOW).problems == ()
    listed = trust(FIRST, below, crl=below.crl([issued.serial]))
    assert listed.refusal(device, NOW) == "the certificate is in its CA's CRL"
    assert trust(FIRST, crl=FIRST.crl()).refusal(device, NOW) is not None


def test_an_intermediate_in_the_crl_of_its_root_takes_its_devices_with_it() -> None:
    """OpenSSL asks the leaf's issuer alone."""
    below = FIRST.make_intermediate("line A CA")
    device = presented(below.issue_device(), below, FIRST)
    revoked = FIRST.crl([below.certificate.serial_number]) + below.crl()
    refusal = trust(FIRST, below, crl=revoked).refusal(device, NOW)
    assert refusal == "the certificate's CA is in the CRL of the CA above it"
    assert trust(FIRST, below, crl=FIRST.crl() + below.crl()).refusal(device, NOW) is None


def test_two_cas_of_one_name_have_a_list_each() -> None:
    """A CA that changes its key often keeps its name."""
    listed = trust(FIRST, NAMESAKE, crl=FIRST.crl([DEVICE.serial]) + NAMESAKE.crl())
    assert listed.refusal(presented(DEVICE, FIRST), NOW) == "the certificate is in its CA's CRL"
    assert listed.refusal(presented(NAMESAKE.issue_device(), NAMESAKE), NOW) is None


def test_a_crl_that_only_bears_a_cas_name_is_refused() -> None:
    """It is broken, or somebody made it."""
    with pytest.raises(InvalidRevocationListError, match="not signed by the CA"):
        trust(FIRST, crl=NAMESAKE.crl())


def test_two_crls_of_one_ca_are_refused() -> None:
    """Which of them holds would depend on who reads."""
    with pytest.raises(InvalidRevocationListError, match="two CRLs of one CA"):
        trust(FIRST, crl=FIRST.crl([1]) + FIRST.crl([2]))
