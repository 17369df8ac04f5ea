"""Which certificates of a device CA bundle a chain may end at, asked by real TLS clients."""

import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from facade.devices.tls import TlsConfigurationError
from tests.support.device_door import BOTH_VERSIONS, DeviceDoor, device_door

NOW = dt.datetime.now(dt.UTC)
AGO, LATER = NOW - dt.timedelta(minutes=5), NOW + dt.timedelta(days=1)
ROOT, OTHER_ROOT = (CertificateAuthority.create(name) for name in ("corporate root", "other root"))
LINE = ROOT.make_intermediate("line CA")
CELL = LINE.make_intermediate("cell CA")
OTHER = OTHER_ROOT.make_intermediate("other line CA")
SIBLING = ROOT.make_intermediate("sibling CA")
DEVICE = LINE.issue_device()
CELL_DEVICE = CELL.issue_device()
LEAF_ALONE = DEVICE.certificate.public_bytes(Encoding.PEM)

OpenDoor = Callable[..., Awaitable[DeviceDoor]]


@pytest.fixture
async def door(server_ca: CertificateAuthority, tmp_path: Path) -> AsyncIterator[OpenDoor]:
    """Open doors that are closed with the test."""
    async with AsyncExitStack() as doors:

        async def open_door(*cas: CertificateAuthority, crl: bytes | None = None) -> DeviceDoor:
            bundle = b"".join(ca.pem for ca in cas)
            opened = device_door(server_ca, tmp_path, device_ca=bundle, device_crl=crl)
            return await doors.enter_async_context(opened)

        yield open_door


async def answers(door: DeviceDoor, issued: IssuedCertificate, chain: bytes | None = None) -> str:
    """Return `served`, or the reason of the refusal, which both versions of TLS give."""
    seen = {await door.refusal(door.device(issued, each, chain)) for each in BOTH_VERSIONS}
    (answer,) = seen
    return answer or "served"


@pytest.mark.parametrize("crl", [None, LINE.crl()], ids=["no CRLs", "its CRL"])
async def test_an_intermediate_alone_is_the_trust_anchor(door: OpenDoor, crl: bytes | None) -> None:
    """It needs no CRL of its own, only the one that it gives out."""
    opened = await door(LINE, crl=crl)
    assert await answers(opened, DEVICE) == "served"
    assert opened.live.trust.standing(NOW).problems == ()


async def test_whatever_chain_the_device_sends_it_ends_at_the_anchor(door: OpenDoor) -> None:
    """The leaf alone, the intermediate with it, and the root that nobody trusts here."""
    opened = await door(LINE)
    for chain in (LEAF_ALONE, DEVICE.chain_pem, DEVICE.chain_pem + ROOT.pem):
        assert await answers(opened, DEVICE, chain) == "served"


async def test_trust_in_an_intermediate_is_no_trust_in_its_root(door: OpenDoor) -> None:
    """That is what an operator gives it alone for: other intermediates, and the root itself."""
    opened = await door(LINE)
    for stranger in (SIBLING, ROOT, OTHER):
        issued = stranger.issue_device()
        assert await answers(opened, issued) == "unknown_ca"
        assert await answers(opened, issued, issued.chain_pem + ROOT.pem) == "unknown_ca"


async def test_a_namesake_of_the_anchor_is_a_stranger(door: OpenDoor) -> None:
    """Only the signature tells them apart, and it does."""
    namesake = ROOT.make_intermediate("line CA")
    opened = await door(LINE)
    assert await answers(opened, namesake.issue_device()) in {"unknown_ca", "bad_signature"}
    forger = CertificateAuthority(LINE.certificate, namesake.key, LINE.pem)
    assert await answers(opened, forger.issue_device()) in {"unknown_ca", "bad_signature"}


async def test_below_the_anchor_devices_bring_further_intermediates(door: OpenDoor) -> None:
    """As they do below a root; with CRLs each that issues devices is in the bundle."""
    opened = await door(LINE)
    assert await answers(opened, CELL_DEVICE) == "served"
    with_crls = await door(LINE, CELL, crl=CELL.crl())
    assert await answers(with_crls, CELL_DEVICE) == "served"
    assert await answers(with_crls, DEVICE) == "no_crl"
    unknown = await door(LINE, crl=LINE.crl())
    assert await answers(unknown, CELL_DEVICE) == "no_crl"


async def test_a_device_in_the_anchors_crl_is_refused(door: OpenDoor) -> None:
    """And its neighbour is not."""
    opened = await door(LINE, crl=LINE.crl([DEVICE.serial]))
    assert await answers(opened, DEVICE) == "revoked"
    assert await answers(opened, LINE.issue_device(device="press-8")) == "served"


async def test_without_a_valid_crl_of_the_anchor_its_devices_are_refused(door: OpenDoor) -> None:
    """A CRL of the root says nothing of devices; one that has expired neither."""
    assert await answers(await door(LINE, crl=ROOT.crl()), DEVICE) == "no_crl"
    expired = LINE.crl(last_update=AGO - dt.timedelta(days=1), next_update=AGO)
    assert await answers(await door(LINE, crl=expired), DEVICE) == "crl_expired"
    early = LINE.crl(last_update=LATER, next_update=LATER + dt.timedelta(days=1))
    assert await answers(await door(LINE, crl=early), DEVICE) == "crl_unusable"


@pytest.mark.parametrize("cas", [(ROOT, LINE), (LINE, ROOT)], ids=["root first", "root last"])
async def test_with_its_root_in_the_bundle_the_chain_goes_up_to_it(
    door: OpenDoor, cas: tuple[CertificateAuthority, ...]
) -> None:
    """So the root's CRL ends an intermediate, whichever of them stands first."""
    assert await answers(await door(*cas), DEVICE) == "served"
    assert await answers(await door(*cas), SIBLING.issue_device()) == "served"
    for_line = await door(*cas, crl=LINE.crl())
    assert await answers(for_line, DEVICE) == "served"
    both = await door(*cas, crl=ROOT.crl() + LINE.crl())
    assert await answers(both, DEVICE) == "served"
    ended = await door(*cas, crl=ROOT.crl([LINE.certificate.serial_number]) + LINE.crl())
    assert await answers(ended, DEVICE) == "revoked"


async def test_what_hangs_on_a_revoked_intermediate_ends_with_it(door: OpenDoor) -> None:
    """Also two steps below: OpenSSL asks the CRL of the device's own CA alone."""
    crls = ROOT.crl([LINE.certificate.serial_number]) + LINE.crl() + CELL.crl()
    ended = await door(ROOT, LINE, CELL, crl=crls)
    assert await answers(ended, CELL_DEVICE) == "revoked"
    crls = ROOT.crl() + LINE.crl() + CELL.crl()
    assert await answers(await door(ROOT, LINE, CELL, crl=crls), CELL_DEVICE) == "served"


async def test_an_intermediate_of_an_intermediate_is_revoked_by_that_one(door: OpenDoor) -> None:
    """The anchor's CRL is to its intermediates what a root's is."""
    crls = LINE.crl([CELL.certificate.serial_number]) + CELL.crl()
    assert await answers(await door(LINE, CELL, crl=crls), CELL_DEVICE) == "revoked"


@pytest.mark.parametrize("crl", [None, LINE.crl() + OTHER.crl()], ids=["no CRLs", "a CRL each"])
async def test_intermediates_of_different_roots_are_anchors_side_by_side(
    door: OpenDoor, crl: bytes | None
) -> None:
    """Two plants, two corporate roots, and neither root is trusted."""
    opened = await door(LINE, OTHER, crl=crl)
    assert await answers(opened, DEVICE) == "served"
    assert await answers(opened, OTHER.issue_device()) == "served"
    assert await answers(opened, SIBLING.issue_device()) == "unknown_ca"


async def test_an_anchor_beside_another_root_changes_nothing_for_that_root(door: OpenDoor) -> None:
    """One is trusted as a whole, of the other only a part."""
    opened = await door(OTHER_ROOT, OTHER, LINE)
    assert await answers(opened, DEVICE) == "served"
    assert await answers(opened, OTHER.issue_device()) == "served"
    assert await answers(opened, OTHER_ROOT.issue_device()) == "served"
    assert await answers(opened, SIBLING.issue_device()) == "unknown_ca"


@pytest.mark.parametrize("order", [1, -1], ids=["ours first", "theirs first"])
async def test_a_cross_signed_ca_is_good_by_either_certificate(door: OpenDoor, order: int) -> None:
    """One certificate's root is in the bundle and the other's is not."""
    theirs = LINE.cross_signed_by(OTHER_ROOT)
    assert await answers(await door(theirs), DEVICE) == "served"
    opened = await door(ROOT, *(LINE, theirs)[::order])
    for chain in (DEVICE.chain_pem, DEVICE.chain_pem + OTHER_ROOT.pem):
        assert await answers(opened, DEVICE, chain) == "served"
    assert await answers(opened, OTHER.issue_device()) == "unknown_ca"


async def test_a_cross_signed_ca_that_one_root_revokes_is_revoked(door: OpenDoor) -> None:
    """A CA is its name and key; a second certificate does not save it."""
    theirs = LINE.cross_signed_by(OTHER_ROOT)
    crls = ROOT.crl([LINE.certificate.serial_number]) + LINE.crl()
    assert await answers(await door(ROOT, LINE, theirs, crl=crls), DEVICE) == "revoked"


async def test_an_expired_anchor_is_no_anchor(door: OpenDoor) -> None:
    """OpenSSL does not look at the times of one that is not self-signed."""
    for begin, end, reason in ((None, AGO, "expired"), (LATER, None, "not_yet_valid")):
        ended = ROOT.make_intermediate("ended CA", not_before=begin, not_after=end)
        opened = await door(ended)
        assert await answers(opened, ended.issue_device()) == reason
        assert not opened.live.trust.standing(NOW).accepts_some
        beside = await door(ended, LINE)
        assert await answers(beside, ended.issue_device()) == reason
        assert await answers(beside, DEVICE) == "served"


async def test_a_renewed_anchor_is_good_beside_its_expired_certificate(door: OpenDoor) -> None:
    """Both stand in a bundle that is only ever added to."""
    expired = LINE.cross_signed_by(ROOT, not_after=AGO)
    for cas in ((expired, LINE), (LINE, expired)):
        assert await answers(await door(*cas), DEVICE) == "served"
    assert await answers(await door(expired), DEVICE) == "expired"


async def test_an_expired_root_in_the_bundle_still_refuses_all_below_it(door: OpenDoor) -> None:
    """As before: an intermediate is an anchor only where its issuer is not there."""
    expired = ROOT.renewed(not_after=AGO)
    opened = await door(expired, LINE)
    assert await answers(opened, DEVICE) == "expired"
    assert not opened.live.trust.standing(NOW).accepts_some
    standing = (await door(expired, LINE, OTHER)).live.trust.standing(NOW)
    assert standing.accepts_some
    assert standing.problems == (
        "devices of CN=line CA are refused: the certificate's CA, or one above it, has expired",
    )
    cross_signed = await door(expired, LINE, LINE.cross_signed_by(OTHER_ROOT))
    assert await answers(cross_signed, DEVICE) == "served"
    assert cross_signed.live.trust.standing(NOW).accepts_some


async def test_a_roots_bound_on_the_path_still_holds(door: OpenDoor) -> None:
    """As before: what the root says of those below it is not passed over."""
    narrow = ROOT.renewed(path_length=1)
    assert await answers(await door(narrow, LINE), DEVICE) == "served"
    assert await answers(await door(narrow, LINE, CELL), CELL_DEVICE) == "chain_too_long"
    assert await answers(await door(LINE, CELL), CELL_DEVICE) == "served"


async def test_a_root_that_only_shares_the_issuers_name_is_not_the_issuer(door: OpenDoor) -> None:
    """The CA above has another key under the same name: it is not in the bundle."""
    renewed_key = CertificateAuthority.create("corporate root")
    assert await answers(await door(renewed_key, LINE), DEVICE) == "served"
    assert await answers(await door(renewed_key), DEVICE) in {"unknown_ca", "bad_signature"}


async def test_the_anchor_itself_is_no_device(door: OpenDoor) -> None:
    """It was not issued by anybody who is trusted."""
    itself = IssuedCertificate(LINE.certificate, LINE.key, LINE.pem)
    opened = await door(LINE)
    assert not await opened.is_served(opened.device(itself))


LEAVES = {
    "a device's own": DEVICE,
    "a server's": ROOT.issue_server(),
    "a self-signed one": CertificateAuthority.create("self").issue_device(),
}


@pytest.mark.parametrize("leaf", LEAVES)
@pytest.mark.parametrize("beside", [b"", ROOT.pem], ids=["alone", "beside a CA"])
async def test_a_leaf_in_the_bundle_is_refused_by_name(
    server_ca: CertificateAuthority, tmp_path: Path, leaf: str, beside: bytes
) -> None:
    """It could issue nothing, so that it would be of no use and nobody would be told."""
    pem = LEAVES[leaf].certificate.public_bytes(Encoding.PEM)
    with pytest.raises(TlsConfigurationError, match="FACADE_DEVICE_CA_FILE") as refused:
        async with device_door(server_ca, tmp_path, device_ca=beside + pem):
            pass
    assert f"serial {LEAVES[leaf].serial:x}" in str(refused.value)
    assert "no CA's certificate" in str(refused.value)
