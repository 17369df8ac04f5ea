"""Identity profiles at the door: who is let in, and who goes when the file changes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from deploy.dev.device_ca import SERVER_AUTH, CertificateAuthority, IssuedCertificate
from facade.devices.identification import (
    CurrentIdentification,
    UnusableProfilesError,
    load_profiles,
)
from facade.values.authority import Authority
from facade.values.identity_profiles import IdentityProfiles
from tests.support.device_door import REQUEST, SERVED, SPIFFE, DeviceDoor, device_door
from tests.support.eventually import PATIENCE_SECONDS

CA, OTHER = CertificateAuthority.create("line CA"), CertificateAuthority.create("other CA")
PRESS_7 = CA.issue(common_name="press-7", organizational_unit="line-a")


def profiles(
    *cas: CertificateAuthority, fields: Mapping[str, str] | None = None, **rest: object
) -> IdentityProfiles:
    """Return a profile of each CA."""
    named = fields or {"common_name": "{device}", "organizational_unit": "{fleet}"}
    items = [
        {"name": f"ca-{number}", "authorities": ca.pem.decode(), "fields": named, **rest}
        for number, ca in enumerate(cas)
    ]
    return load_profiles(orjson.dumps({"profiles": items}))


@asynccontextmanager
async def connected(door: DeviceDoor, issued: IssuedCertificate) -> AsyncIterator[asyncio.Event]:
    """Hold a connection that was answered; the event is set when it is cut."""
    reader, writer = await asyncio.open_connection("localhost", door.port, ssl=door.device(issued))
    writer.write(REQUEST)
    assert await reader.readline() == SERVED
    cut = asyncio.Event()

    async def read() -> None:
        try:
            while await reader.read(1000):
                pass
        except ConnectionError:
            pass
        cut.set()

    reading = asyncio.create_task(read())
    try:
        yield cut
    finally:
        reading.cancel()
        writer.transport.abort()


def ids(door: DeviceDoor) -> set[tuple[str, str | None]]:
    """Return who is connected, and of which fleet."""
    devices = (each.device.identity for each in door.live.identified())
    return {(each.id, each.fleet) for each in devices if each is not None}


@pytest.mark.parametrize(
    "usage, refusal", [("required", "wrong_purpose"), ("may_be_missing", None)]
)
async def test_a_missing_usage_is_let_in_where_the_profile_says_so(
    server_ca: CertificateAuthority, tmp_path: Path, usage: str, refusal: str | None
) -> None:
    """A factory's certificate (IEEE 802.1AR) often has none; one for servers is never let in."""
    without = CA.issue(common_name="press-7", organizational_unit="line-a", usages=())
    of_server = CA.issue(common_name="press-7", organizational_unit="line-a", usages=(SERVER_AUTH,))
    of_other = OTHER.issue(common_name="press-7", organizational_unit="line-a", usages=())
    rule = profiles(CA, extended_key_usage=usage)
    trusted = CA.pem + OTHER.pem
    async with device_door(server_ca, tmp_path, device_ca=trusted, identification=rule) as door:
        assert await door.refusal(door.device(without)) == refusal
        assert await door.refusal(door.device(of_server)) == "wrong_purpose"
        assert await door.refusal(door.device(of_other)) == "wrong_purpose"


async def test_whoever_is_another_device_by_the_new_file_is_cut(
    server_ca: CertificateAuthority, tmp_path: Path
) -> None:
    """Its connection would go on with the old id and the old fleet. The others stay."""
    before = profiles(CA)
    others = {
        "another fleet": profiles(CA, fields={"common_name": "{device}"}, fleet="line-b"),
        "a profile's name before it": profiles(CA, OTHER),
        "another CA": profiles(OTHER),
    }
    async with device_door(server_ca, tmp_path, device_ca=CA.pem, identification=before) as door:
        for other in others.values():
            await door.identify_by(before)
            async with connected(door, PRESS_7) as cut:
                assert ids(door) == {("press-7", "line-a")}
                await door.identify_by(profiles(CA))
                assert ids(door) == {("press-7", "line-a")}
                assert not cut.is_set()
                await door.identify_by(other)
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await cut.wait()
        await door.identify_by(profiles(CA, OTHER))
        async with connected(door, PRESS_7):
            assert ids(door) == {("ca-0/press-7", "line-a")}


def test_a_profile_of_a_leaf_is_refused() -> None:
    """It would silently bind nobody. What the certificate says is not believed, but quoted."""
    item = {"name": "a", "authorities": PRESS_7.chain_pem.decode(), "fields": {"dns": "{device}"}}
    with pytest.raises(UnusableProfilesError, match=r"no CA's certificate: .*press-7"):
        load_profiles(orjson.dumps({"profiles": [item]}))


def test_a_profile_whose_ca_is_not_trusted_is_found() -> None:
    """None of its devices is let in, and nothing else tells. A CA below a trusted one is enough."""
    below = CA.make_intermediate("issuing CA")
    current = CurrentIdentification(profiles(CA, OTHER, below))
    trusted = frozenset({Authority.of(CA.certificate)})
    assert current.without_authority(trusted) == ("ca-1",)
    assert CurrentIdentification(SPIFFE).without_authority(trusted) == ()
