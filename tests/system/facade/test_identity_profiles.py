"""Fleets of several CAs at one facade, each read by its own profile."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from attrs import frozen
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from deploy.dev.processes import ChildFailedError
from shared.other_name import HARDWARE_MODULE_NAME
from tests.support.facade_command import facade_command
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import CANARY_TOKEN, connect, pull_path, write_and_wait
from tests.support.fleet_certificates import HARDWARE_MODULE, Shape, other_name
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.support.swapped_files import refused_files, swap, swap_refused
from tests.support.warm.program import Finished
from tests.system.facade.conftest import StartFacade

PROFILES = "FACADE_DEVICE_PROFILES_FILE"
PING = request_bytes(b"/v2/")
LINE_A, LINE_B = CertificateAuthority.create("line A CA"), CertificateAuthority.create("line B CA")


def profile(name: str, ca: CertificateAuthority, **rest: object) -> dict[str, object]:
    """Return a profile of a CA whose devices have a CN, and the profile's name as their fleet."""
    named = {"name": name, "authorities": ca.pem.decode(), "fields": {"common_name": "{device}"}}
    return {**named, "fleet": name, **rest}


def file_of(*profiles: Mapping[str, object]) -> bytes:
    """Return what the file holds."""
    return orjson.dumps({"profiles": profiles})


BOTH = file_of(profile("line-a", LINE_A), profile("line-b", LINE_B))
PRESS_7, TWIN = LINE_A.issue(common_name="press-7"), LINE_B.issue(common_name="press-7")


@frozen
class Fleets:
    """A facade whose devices are of two CAs."""

    facade: Facade
    writer: StatementWriter

    async def status(self, issued: IssuedCertificate, path: str = "/v2/") -> int:
        """Return what a device is answered."""
        return (await self.facade.device(issued).get(path)).status

    async def identify(self, issued: IssuedCertificate, *options: str) -> Finished:
        """Run `facade identify` on a certificate, beside the facade."""
        path = self.facade.files.folder / f"presented-{issued.serial:x}.pem"
        path.write_bytes(issued.chain_pem)
        finished = await facade_command(self.facade.environment, "identify", str(path), *options)
        assert CANARY_TOKEN not in finished.output + finished.words
        return finished

    async def view(self, issued: IssuedCertificate) -> dict[str, Any]:
        """Return what the command says, as JSON."""
        found: dict[str, Any] = (await self.identify(issued, "--json")).result
        return found


@pytest.fixture
def fleets(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    tmp_path: Path,
) -> Fleets:
    """A facade of both profiles."""
    (tmp_path / "profiles.yaml").write_bytes(BOTH)
    (tmp_path / "cas.pem").write_bytes(LINE_A.pem + LINE_B.pem)
    settings = {
        PROFILES: str(tmp_path / "profiles.yaml"),
        "FACADE_DEVICE_CA_FILE": str(tmp_path / "cas.pem"),
        "FACADE_POLL_INTERVAL": "500ms",
    }
    return Fleets(start_facade(own_writer, own_database.facade_url, settings), own_writer)


async def test_two_cas_have_devices_of_one_name_in_two_fleets(
    fleets: Fleets, upstream: RegistrySimulator
) -> None:
    """Each pulls what its fleet may, and is revoked alone. `facade identify` says it before."""
    digest = upstream.blob(b"for line A")
    await connect(fleets.facade, fleets.writer, upstream, fleets=("line-a",))
    path = pull_path(upstream, digest)
    assert (await fleets.status(PRESS_7, path), await fleets.status(TWIN, path)) == (200, 404)
    seen, other = await asyncio.gather(fleets.view(PRESS_7), fleets.view(TWIN))
    assert (seen["outcome"], seen["device"], seen["fleet"]) == (
        "let_in",
        "line-a/press-7",
        "line-a",
    )
    assert [each["host"] for each in seen["connections"]] == [str(upstream.host)]
    assert (other["device"], other["connections"]) == ("line-b/press-7", [])
    async with raw_connection(fleets.facade.device(TWIN)) as of_twin:
        await of_twin.send(PING)
        assert (await of_twin.answer()).status == 200
        await fleets.writer.write(fleets.writer.device_revocation("line-b/press-7"))
        assert await of_twin.until_reset() == b""
    assert (await fleets.status(PRESS_7, path), await fleets.status(TWIN, path)) == (200, 403)
    revoked = await fleets.identify(TWIN)
    assert revoked.status == 1
    assert "device: line-b/press-7" in revoked.output
    assert "not let in: the device is revoked" in revoked.output
    stranger = await fleets.identify(CertificateAuthority.create("x").issue(common_name="press-7"))
    assert (stranger.status, "its chain is not accepted" in stranger.output) == (1, True)


async def test_a_revocation_counts_whichever_number_of_profiles_there_is(fleets: Fleets) -> None:
    """An id is a value alone, or with its profile: a new profile must not let anybody in again."""
    await swap(fleets.facade, {PROFILES: file_of(profile("line-a", LINE_A))})
    assert (await fleets.view(PRESS_7))["device"] == "press-7"
    async with raw_connection(fleets.facade.device(PRESS_7)) as connection:
        await connection.send(PING)
        assert (await connection.answer()).status == 200
        await fleets.writer.write(fleets.writer.device_revocation("press-7"))
        assert await connection.until_reset() == b""
    await swap(fleets.facade, {PROFILES: BOTH})
    assert await fleets.status(PRESS_7) == 403
    other = LINE_A.issue(common_name="press-8")
    assert await fleets.status(other) == 200
    revocation = fleets.writer.device_revocation("line-a/press-8")
    await write_and_wait(fleets.facade, fleets.writer, revocation)
    assert await fleets.status(other) == 403
    await swap(fleets.facade, {PROFILES: file_of(profile("line-a", LINE_A))})
    assert await fleets.status(other) == 403


async def test_the_file_is_read_again_and_a_wrong_one_changes_nothing(fleets: Fleets) -> None:
    """A connected device of another id or fleet is cut; what is wrong is said and counted."""
    async with (
        raw_connection(fleets.facade.device(PRESS_7)) as changed,
        raw_connection(fleets.facade.device(TWIN)) as kept,
    ):
        for connection in (changed, kept):
            await connection.send(PING)
            assert (await connection.answer()).status == 200
        for wrong, why in (
            (b"profiles: [", "neither YAML nor JSON"),
            (file_of(profile("Line A", LINE_A)), "/profiles/0/name"),
            (
                file_of({**profile("line-a", LINE_A), "authorities": PRESS_7.chain_pem.decode()}),
                "CA",
            ),
            (None, "no such file"),
        ):
            assert why in await swap_refused(fleets.facade, PROFILES, wrong)
            assert refused_files(fleets.facade) == {PROFILES}
            await changed.send(PING)
            assert (await changed.answer()).status == 200
        others = file_of(profile("line-a", LINE_A, fleet="lathes"), profile("line-b", LINE_B))
        await swap(fleets.facade, {PROFILES: others})
        assert refused_files(fleets.facade) == set()
        assert await changed.until_reset() == b""
        await kept.send(PING)
        assert (await kept.answer()).status == 200
    assert (await fleets.view(PRESS_7))["fleet"] == "lathes"


async def test_a_profile_of_a_ca_that_is_not_trusted_is_told(fleets: Fleets) -> None:
    """None of its devices gets in, and the handshakes alone would not say why."""
    untrusted = profile("line-c", CertificateAuthority.create("line C CA"))
    await swap(fleets.facade, {PROFILES: file_of(profile("line-a", LINE_A), untrusted)})
    said = fleets.facade.operations("/readyz")[1]
    assert "no device of the profile line-c is let in" in said
    assert "line-a is let in" not in said
    await swap(fleets.facade, {PROFILES: BOTH})
    assert "is let in" not in fleets.facade.operations("/readyz")[1]


async def test_a_factorys_certificate_without_a_usage_is_let_in_where_the_profile_says_so(
    fleets: Fleets,
) -> None:
    """Of the CA of that profile alone."""
    without = [ca.issue(common_name="press-9", usages=()) for ca in (LINE_A, LINE_B)]
    lenient = profile("line-a", LINE_A, extended_key_usage="may_be_missing")
    await swap(fleets.facade, {PROFILES: file_of(lenient, profile("line-b", LINE_B))})
    assert await fleets.status(without[0]) == 200
    assert (await fleets.view(without[0]))["device"] == "line-a/press-9"
    refused = await fleets.identify(without[1])
    assert (refused.status, "not for client authentication" in refused.output) == (1, True)


async def test_a_hardware_module_names_a_device_and_one_with_more_in_it_nobody(
    fleets: Fleets,
) -> None:
    """IEEE 802.1AR's name of a device: the control plane revokes by the same text."""
    fields = {"other_names": {HARDWARE_MODULE_NAME: "1.2.3.4:{device}"}}
    await swap(fleets.facade, {PROFILES: file_of(profile("idevid", LINE_A, fields=fields))})
    more = bytes.fromhex("300c06032a030404030102030500")
    right, wrong = (_of_module(der) for der in (HARDWARE_MODULE, more))
    assert await fleets.status(right) == 200
    assert (await fleets.view(right))["device"] == "1.2.3.4:010203"
    assert await fleets.status(wrong) == 403
    assert "not let in" in (await fleets.identify(wrong)).output
    revocation = fleets.writer.device_revocation("1.2.3.4:010203")
    await write_and_wait(fleets.facade, fleets.writer, revocation)
    assert await fleets.status(right) == 403


def _of_module(der: bytes) -> IssuedCertificate:
    """Return a certificate of line A's CA with this hardware module."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = (other_name(HARDWARE_MODULE_NAME, der),)
    certificate = Shape(names=named, public_key=key.public_key()).issue(LINE_A)
    return IssuedCertificate(certificate, key, certificate.public_bytes(Encoding.PEM))


def test_profiles_and_one_kind_for_all_are_not_both_set(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    tmp_path: Path,
) -> None:
    """One of them would silently not count."""
    (tmp_path / "profiles.yaml").write_bytes(BOTH)
    settings = {PROFILES: str(tmp_path / "profiles.yaml"), "FACADE_DEVICE_IDENTITY": "subject"}
    with pytest.raises(ChildFailedError, match=f"{PROFILES}: expected neither"):
        start_facade(own_writer, own_database.facade_url, settings)
