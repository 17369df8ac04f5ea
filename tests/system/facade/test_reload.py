"""Certificates, CAs and keys are taken over while pulls run; what is broken is not."""

import asyncio
import base64
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from deploy.dev.processes import ChildFailedError
from shared.keys import private_pem, public_pem
from tests.support.device_stream import End, device_stream
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path, until_accepted
from tests.support.memory import MIB
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.support.swapped_files import refused_files, swap, swap_refused
from tests.system.facade.conftest import StartFacade

CERTIFICATE, KEY = "FACADE_TLS_CERT_FILE", "FACADE_TLS_KEY_FILE"
DEVICE_CA = "FACADE_DEVICE_CA_FILE"
SEALING_KEY = "FACADE_SEALING_PRIVATE_KEY_FILE"
STATEMENT_KEY = "FACADE_STATEMENT_PUBLIC_KEY_FILE"
PING = request_bytes(b"/v2/")
SWAPS = 20
CONNECTIONS_A_SWAP = 10
WORKERS = 4


@pytest.fixture
def own_facade(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> Facade:
    """A facade whose files the test may change."""
    polls = {"FACADE_POLL_INTERVAL": "500ms"}
    return start_facade(own_writer, own_database.facade_url, polls)


async def server_serial(device: Device) -> int:
    """Return the serial number of the certificate that the facade shows."""
    _, writer = await asyncio.open_connection("localhost", device.facade.port, ssl=device.tls())
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True)
    writer.transport.abort()
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


async def present(facade: Facade, issued: IssuedCertificate) -> None:
    """Have the facade show this certificate."""
    await swap(facade, {KEY: issued.key_pem, CERTIFICATE: issued.chain_pem})


async def is_served(device: Device) -> bool:
    """Tell whether the device gets an answer, or fails the handshake."""
    try:
        async with raw_connection(device) as connection:
            await connection.send(PING)
            answer = await connection.answer()
    except (ConnectionError, ssl.SSLError):
        return False
    assert answer.status == 200
    return True


async def test_a_new_server_certificate_serves_and_the_running_pull_goes_on(
    own_facade: Facade, own_writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """The old one's connections are left alone; so is a key that comes later than its half."""
    device = own_facade.device()
    digest = upstream.blob(bytes(32 * MIB))
    await connect(own_facade, own_writer, upstream)
    first = await server_serial(device)
    renewed = own_facade.files.server_ca.issue_server()
    path = pull_path(upstream, digest)
    async with device_stream(own_facade.port, device.tls(), path) as stream:
        await stream.take(1000)
        await swap_refused(own_facade, CERTIFICATE, renewed.chain_pem)
        assert refused_files(own_facade) == {CERTIFICATE}
        assert await server_serial(device) == first
        await present(own_facade, renewed)
        assert refused_files(own_facade) == set()
        assert await server_serial(device) == renewed.serial
        assert await stream.end() is End.WHOLE
        assert stream.digest == digest


async def test_twenty_swaps_under_load_lose_no_connection(own_facade: Facade) -> None:
    """Each worker makes connection after connection; one failure would be one too many."""
    tls = own_facade.device().tls()
    certificates = [own_facade.files.server_ca.issue_server() for _ in range(2)]
    made, over = 0, asyncio.Event()

    async def work() -> None:
        nonlocal made
        while not over.is_set():
            async with raw_connection(own_facade.device(), tls) as connection:
                await connection.send(PING)
                assert (await connection.answer()).status == 200
            made += 1

    async with asyncio.TaskGroup() as workers:
        for _ in range(WORKERS):
            workers.create_task(work())
        for number in range(SWAPS):
            await present(own_facade, certificates[number % 2])
            enough = made + CONNECTIONS_A_SWAP
            await eventually(lambda enough=enough: made >= enough)  # type: ignore[misc]  # a default binds it
        over.set()


async def test_cas_overlap_and_the_old_one_goes_with_its_connections(own_facade: Facade) -> None:
    """A fleet moves from one CA to the next, and what the old one signed ends with it."""
    old, new = own_facade.files.device_ca, CertificateAuthority.create("new device CA")
    of_old, of_new = own_facade.device(old.issue_device()), own_facade.device(new.issue_device())
    assert await is_served(of_old)
    assert not await is_served(of_new)
    await swap(own_facade, {DEVICE_CA: old.pem + new.pem})
    async with raw_connection(of_old) as old_one, raw_connection(of_new) as new_one:
        for connection in (old_one, new_one):
            await connection.send(PING)
            assert (await connection.answer()).status == 200
        await swap(own_facade, {DEVICE_CA: new.pem})
        assert await old_one.until_reset() == b""
        await new_one.send(PING)
        assert (await new_one.answer()).status == 200
    assert not await is_served(of_old)
    assert await is_served(of_new)


async def test_a_renewed_certificate_of_the_same_ca_cuts_nobody(own_facade: Facade) -> None:
    """It is the same name and key: what it signed before, it has signed."""
    old = own_facade.files.device_ca
    issued = old.issue_device()
    async with raw_connection(own_facade.device(issued)) as connection:
        renewed = old.renewed()
        assert renewed.pem != old.pem
        await swap(own_facade, {DEVICE_CA: renewed.pem})
        await connection.send(PING)
        assert (await connection.answer()).status == 200
    assert await is_served(own_facade.device(issued))


async def test_a_folder_of_links_that_is_swung_over_is_noticed(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    tmp_path: Path,
) -> None:
    """As Kubernetes updates a Secret: the file's own path never changes; and without a signal."""
    first, second = CertificateAuthority.create("first"), CertificateAuthority.create("second")
    mount = tmp_path / "mount"
    for name, ca in (("..1", first), ("..2", second)):
        (mount / name).mkdir(parents=True)
        (mount / name / "ca.pem").write_bytes(ca.pem)
    (mount / "..data").symlink_to("..1")
    (mount / "ca.pem").symlink_to("..data/ca.pem")
    settings: Mapping[str, str] = {DEVICE_CA: str(mount / "ca.pem")}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    device = facade.device(second.issue_device())
    assert not await is_served(device)
    (mount / "..data_tmp").symlink_to("..2")
    (mount / "..data_tmp").rename(mount / "..data")
    await eventually(lambda: is_served(device))


async def test_a_broken_ca_bundle_keeps_the_old_one(own_facade: Facade) -> None:
    """And holds no other file back."""
    device = own_facade.device()
    await swap_refused(own_facade, DEVICE_CA, b"garbage")
    renewed = own_facade.files.server_ca.issue_server()
    await present(own_facade, renewed)
    assert refused_files(own_facade) == {DEVICE_CA}
    assert await server_serial(device) == renewed.serial
    assert await is_served(device)


def with_one_wrong_byte(pem: bytes) -> bytes:
    """Return a file of certificates whose first one claims a version that there is not."""
    before, label, body, *behind = pem.decode().split("-----")
    der = base64.b64decode(body).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1)
    text = base64.encodebytes(der).decode()
    return "-----".join((before, label, f"\n{text}", *behind)).encode()


async def test_one_wrong_byte_keeps_the_old_content_and_is_named_at_the_start(
    own_facade: Facade,
) -> None:
    """It ended the process while it served, and each start with a traceback."""
    folder, device = own_facade.files.folder, own_facade.device()
    for name, setting in (("device-ca.pem", DEVICE_CA), ("server.pem", CERTIFICATE)):
        wrong = with_one_wrong_byte((folder / name).read_bytes())
        await swap_refused(own_facade, setting, wrong)
        assert await is_served(device)
        assert setting in own_facade.operations("/readyz")[1]
    assert refused_files(own_facade) == {DEVICE_CA, CERTIFICATE}
    assert own_facade.stop() == 0
    logged = len(own_facade.log_text)
    with pytest.raises(ChildFailedError, match="ended with 2"):
        own_facade.restart()
    said = own_facade.log_text[logged:]
    assert DEVICE_CA in said
    assert CERTIFICATE in said
    assert "Traceback" not in said


async def test_a_new_sealing_key_opens_what_is_sealed_to_it(
    own_facade: Facade, own_writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Both are in the file while connections are moved from one to the other."""
    old = own_writer.sealing_private_pem
    own_writer.sealing_key = X25519PrivateKey.generate()
    digest, device = upstream.blob(b"content"), own_facade.device()
    await connect(own_facade, own_writer, upstream)
    assert (await device.get(pull_path(upstream, digest))).status >= 500
    await swap_refused(own_facade, SEALING_KEY, b"garbage")
    await swap(own_facade, {SEALING_KEY: old + private_pem(own_writer.sealing_key)})
    answer = await device.get(pull_path(upstream, digest))
    assert (answer.status, answer.body) == (200, b"content")


async def test_a_new_statement_key_is_believed_once_it_is_there(
    own_facade: Facade, own_writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """What it signed before is found by the next poll."""
    old = own_writer.statement_public_pem
    own_writer.statement_key = Ed25519PrivateKey.generate()
    approval = own_writer.approval(str(upstream.host), plain_http=True)
    await own_writer.write(approval)
    await eventually(
        lambda: bool(own_facade.log_lines(event="statement refused", subject=approval.subject))
    )
    new = public_pem(own_writer.statement_key.public_key())
    await swap(own_facade, {STATEMENT_KEY: old + new})
    await until_accepted(own_facade, approval)
