"""Open connections after another bundle of CAs: each is judged as a handshake would judge it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from tests.support.device_door import REQUEST, SERVED, DeviceDoor, device_door

ROOT = CertificateAuthority.create("root")
LINE = ROOT.make_intermediate("line CA")
OTHER = CertificateAuthority.create("other")
BELOW_ROOT, BELOW_LINE = ROOT.issue_device(), LINE.issue_device()
EXAMPLE = x509.UniformResourceIdentifier(".example.com")


def permitting(name: x509.GeneralName) -> x509.NameConstraints:
    """Return what limits a CA to these names."""
    return x509.NameConstraints(permitted_subtrees=[name], excluded_subtrees=None)


RENEWED = {
    "as it was": (ROOT.renewed(), {"root", "line"}),
    "with the same trust domain": (ROOT.renewed(trust_domain="example.com"), {"root", "line"}),
    "with another trust domain": (ROOT.renewed(trust_domain="example.org"), set[str]()),
    "with no CA below it": (ROOT.renewed(path_length=0), {"root"}),
    "for other names": (
        ROOT.renewed(limits=[permitting(x509.UniformResourceIdentifier("example.org"))]),
        set[str](),
    ),
    "for servers alone": (
        ROOT.renewed(limits=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])]),
        set[str](),
    ),
    "with clients among others": (
        ROOT.renewed(
            limits=[
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                )
            ]
        ),
        {"root", "line"},
    ),
}


@asynccontextmanager
async def connected(door: DeviceDoor, *those: IssuedCertificate) -> AsyncIterator[None]:
    """Hold a connection of each device, on which it was answered."""
    writers = []
    try:
        for issued in those:
            tls = door.device(issued)
            reader, writer = await asyncio.open_connection("localhost", door.port, ssl=tls)
            writers.append(writer)
            writer.write(REQUEST)
            assert await reader.readline() == SERVED
        yield
    finally:
        for writer in writers:
            writer.transport.abort()


async def let_in(door: DeviceDoor, devices: dict[str, IssuedCertificate]) -> set[str]:
    """Return which of the devices a new handshake lets in and identifies."""
    found = set()
    for name, issued in devices.items():
        if await door.is_served(door.device(issued)):
            async with connected(door, issued):
                found |= {name} & identified(door, devices)
    return found


def identified(door: DeviceDoor, devices: dict[str, IssuedCertificate]) -> set[str]:
    """Return which of the devices are connected and identified."""
    serials = {each.device.serial for each in door.live.identified()}
    return {name for name, issued in devices.items() if issued.serial in serials}


@pytest.mark.parametrize("renewal", RENEWED)
@pytest.mark.parametrize("more", [(), (LINE,)], ids=["the root alone", "with what is below it"])
async def test_what_a_renewed_ca_no_longer_allows_is_cut(
    server_ca: CertificateAuthority,
    tmp_path: Path,
    renewal: str,
    more: tuple[CertificateAuthority, ...],
) -> None:
    """Whoever would not be let in anew; and nobody else, in the middle of a pull."""
    renewed, allowed = RENEWED[renewal]
    devices = {"root": BELOW_ROOT, "line": BELOW_LINE}
    others = b"".join(each.pem for each in (*more, OTHER))
    bystander = OTHER.issue_device(trust_domain="example.net")
    async with (
        device_door(server_ca, tmp_path, device_ca=ROOT.pem + others) as door,
        connected(door, *devices.values(), bystander),
    ):
        await door.take_over(renewed.pem + others)
        assert identified(door, {**devices, "bystander": bystander}) == {*allowed, "bystander"}
        assert await let_in(door, devices) == allowed


async def test_below_an_anchor_that_is_not_self_signed(
    server_ca: CertificateAuthority, tmp_path: Path
) -> None:
    """An intermediate alone is one; OpenSSL is to be told so for this question, too."""
    async with (
        device_door(server_ca, tmp_path, device_ca=LINE.pem) as door,
        connected(door, BELOW_LINE),
    ):
        await door.take_over(LINE.pem + OTHER.pem)
        assert len(door.live.identified()) == 1
        await door.take_over(OTHER.pem)
        assert door.live.identified() == []
