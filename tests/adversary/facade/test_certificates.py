"""Certificates of a trusted CA whose names are long, deep or malformed, each in a new handshake."""

import asyncio
import itertools
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import orjson
import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from shared.outside_bytes import Party
from tests.adversary.bounds import Allowed
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.guards import bounds, check
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.fleet_certificates import HARDWARE_MODULE, Shape, written_names
from tests.support.memory import MIB
from tests.support.odd_names import DEEP, KINDS, LONG, MALFORMED
from tests.support.raw_http import ask, raw_connection, request_bytes
from tests.support.statement_writer import StatementWriter
from tests.support.swapped_files import swap
from tests.system.facade.conftest import StartFacade

pytestmark = pytest.mark.attack

ODD: Final[Mapping[str, Mapping[str, Sequence[bytes]]]] = {
    "long": LONG,
    "deep": DEEP,
    "malformed": MALFORMED,
}
WORKERS: Final = 8
CAS: Final = {oid: CertificateAuthority.create(f"a CA of {oid}") for oid in KINDS}
PROFILES, AUTHORITIES = "FACADE_DEVICE_PROFILES_FILE", "FACADE_DEVICE_CA_FILE"
_NUMBERS: Final = itertools.count()
PING: Final = request_bytes(b"/v2/")


def profile(name: str, ca: CertificateAuthority, fields: Mapping[str, object]) -> dict[str, object]:
    """Return a profile of a CA."""
    return {"name": name, "authorities": ca.pem.decode(), "fields": fields, "fleet": name}


@pytest.fixture
async def facade(
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    start_facade: StartFacade,
    settings: Mapping[str, str],
    tmp_path: Path,
) -> Facade:
    """A facade with fleets of several CAs: the victim's, and one for each kind of otherName."""
    profiles, authorities = tmp_path / "profiles.json", tmp_path / "cas.pem"
    named = [
        profile(f"named-{number}", ca, {"other_names": {oid: "{device}"}})
        for number, (oid, ca) in enumerate(CAS.items())
    ]
    trusted = b"".join(ca.pem for ca in CAS.values())
    profiles.write_bytes(orjson.dumps({"profiles": named}))
    authorities.write_bytes(trusted)
    settings = {**settings, PROFILES: str(profiles), AUTHORITIES: str(authorities)}
    started = start_facade(own_writer, own_database.facade_url, settings)
    fields = {"uri": "spiffe://example.com/fleet/line-a/device/{device}"}
    victims = profile("line-a", started.files.device_ca, fields)
    await swap(
        started,
        {
            PROFILES: orjson.dumps({"profiles": [*named, victims]}),
            AUTHORITIES: trusted + started.files.device_ca.pem,
        },
    )
    return started


def device_with(facade: Facade, oid: str, values: Sequence[bytes]) -> Device:
    """Return a device with a certificate of the CA that has these names."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = written_names(*((oid, each) for each in values))
    made = Shape(extensions=names, public_key=key.public_key()).issue(CAS[oid])
    issued = IssuedCertificate(made, key, made.public_bytes(Encoding.PEM))
    return Device(facade, issued.write(facade.files.folder, f"odd-{next(_NUMBERS)}"))


async def is_refused(device: Device, tls: ssl.SSLContext) -> bool:
    """Connect and ask; tell whether it is told that it is nobody, or the handshake is refused."""
    try:
        async with raw_connection(device, tls) as connection:
            await connection.send(PING)
            return (await connection.answer()).status == 403
    except OSError:
        return True


CHAINS: Final = 400  # each another one; more than come in the time of an attack
PADDING_BYTES: Final = 60_000  # OpenSSL takes 100 KiB of a chain
PADDED: Final = b"padding!" * 2
KEPT_OF_A_DEVICE: Final = Allowed(kept_bytes=8 * MIB)


def padded_chains(facade: Facade) -> list[Device]:
    """Return one device, each time with another CA's certificate behind its own."""
    content = PADDED + bytes(PADDING_BYTES)
    more = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), content)
    der = CertificateAuthority.create("padding").renewed(limits=[more])
    encoded = der.certificate.public_bytes(Encoding.DER)
    issued = facade.files.device_ca.issue_device(device="padded")
    found = list[Device]()
    for number in range(CHAINS):
        other = encoded.replace(PADDED, b"%016d" % number)  # nobody looks at its signature
        chain = issued.chain_pem + ssl.DER_cert_to_PEM_cert(other).encode()
        files = evolve(issued, chain_pem=chain).write(facade.files.folder, f"padded-{number}")
        found.append(Device(facade, files))
    return found


@bounds("facade.devices.known_devices.MAX_KNOWN_BYTES_OF_ONE_DEVICE")
async def test_a_device_that_sends_another_long_chain_each_time(attacked: AttackedFacade) -> None:
    """Nothing signs what it sends beside its own; of one device little is remembered."""
    devices = padded_chains(attacked.facade)
    assert (await ask(devices[0], PING)).status == 200
    waiting, served = iter(devices[1:]), 0

    async def connect_again_and_again() -> None:
        nonlocal served
        for device in waiting:
            if not attack.goes_on:
                return
            assert (await ask(device, PING)).status == 200
            served += 1

    name = "another long chain each time"
    async with attacked.watched(name, Party.DEVICE, KEPT_OF_A_DEVICE) as attack:
        await asyncio.gather(*(connect_again_and_again() for _ in range(WORKERS)))
    assert served * PADDING_BYTES > KEPT_OF_A_DEVICE.kept_bytes


def presentable(devices: Iterable[Device]) -> Iterator[tuple[Device, ssl.SSLContext]]:
    """Yield those whose certificates OpenSSL takes for some; no client presents any other."""
    for device in devices:
        with suppress(ssl.SSLError):
            yield device, device.tls()


@bounds("shared.other_name.MAX_OTHER_NAME_BYTES")
@check(
    "shared/other_name.py",
    '_of_der_string(name.value)\n    except ValueError:\n        return ""\n',
    '_of_der_string(name.value)\n    except ValueError:\n        return "x"\n',
)
@pytest.mark.parametrize("kind", ODD)
async def test_certificates_with_odd_names(kind: str, attacked: AttackedFacade) -> None:
    """Each is refused, whatever the handshake or the profile makes of it."""
    facade = attacked.facade
    right = device_with(facade, KINDS[0], [HARDWARE_MODULE])
    assert (await ask(right, PING)).status == 200
    odd = [device_with(facade, oid, values) for oid in KINDS for values in ODD[kind].values()]
    contexts = list(presentable(odd))
    assert len(contexts) > len(odd) // 3
    refused = 0

    async def connect_again_and_again(worker: int) -> None:
        nonlocal refused
        number = worker
        while time.monotonic() < attack.ends_at:
            device, tls = contexts[number % len(contexts)]
            number += 1
            assert await is_refused(device, tls)
            refused += 1

    async with attacked.watched(f"{kind} otherNames", Party.DEVICE) as attack:
        await asyncio.gather(*map(connect_again_and_again, range(WORKERS)))
    assert refused > len(contexts)
    assert (await ask(right, PING)).status == 200
