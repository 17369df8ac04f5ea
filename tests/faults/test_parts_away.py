"""A facade, the control plane, a token endpoint or the name service is gone: pulls go on."""

import asyncio
import random
import ssl
import time
from pathlib import Path
from typing import Final

import pytest

from deploy.dev.device_ca import CertificateAuthority
from deploy.dev.image import Destination, make_image, push
from deploy.dev.postgres import Postgres
from deploy.dev.registry import Registry
from deploy.dev.token_server import TokenServer
from facade.values.piece import PIECE_BYTES
from tests.conftest import ROBOT, ROBOT_PASSWORD
from tests.faults.report import FaultReport
from tests.support.both_processes import start_control_plane, start_facade_of
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import (
    CANARY_TOKEN,
    USERNAME,
    connect,
    pull_path,
    write_and_wait,
)
from tests.support.retrying_device import RetryingDevice
from tests.support.simulators.behaviour import Slow
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import NOTIFY_ALONE, StartFacade

CONTENT: Final = random.Random(9).randbytes(20 * PIECE_BYTES + 7)  # noqa: S311 - any bytes will do
PACE: Final = Slow(PIECE_BYTES, 0.1)  # two seconds, to be caught in the middle
DEVICES: Final = 4


async def test_a_facade_killed_while_devices_pull(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """The devices go to the other one, which goes on where the dead one had come to."""
    settings = {"FACADE_CACHE_DIR": str(tmp_path / "cache"), "FACADE_CACHE_MAX_BYTES": "1GiB"}
    first = start_facade(own_writer, own_database.facade_url, settings)
    await connect(first, own_writer, upstream)
    beside = {**NOTIFY_ALONE, **settings, "FACADE_STATE_DIR": str(tmp_path / "state")}
    second = Facade.start(first.files, own_database.facade_url, beside)
    digest = upstream.blob(CONTENT, get=PACE)
    ports = (first.port, second.port)
    devices = [RetryingDevice(second.device(), ports) for _ in range(DEVICES)]
    path = pull_path(upstream, digest)
    try:
        pulls = [asyncio.create_task(device.pull(path, digest)) for device in devices]
        await eventually(lambda: all(device.received for device in devices), seconds=30)
        first.child.kill()
        began = time.monotonic()
        done = await asyncio.gather(*pulls)
        assert all(pull.content == CONTENT for pull in done)
        assert (await second.device().get(path)).body == CONTENT
    finally:
        second.child.kill()
    fault_report.row(
        f"facade killed under {DEVICES} pulls, another one beside it",
        str(done[0]),
        f"all whole and right {time.monotonic() - began:.1f} s behind it",
    )


@pytest.mark.long
async def test_the_control_plane_is_away(
    postgres: Postgres,
    own_database: FacadeDatabase,
    upstream: RegistrySimulator,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """Everything that the facade does goes on; it need not even have been there at the start."""
    plane = await start_control_plane(postgres, own_database, tmp_path / "plane")
    client = plane.client("alice")
    view = await client.connect(
        str(upstream.host), username=USERNAME, token=CANARY_TOKEN, plain_http=True
    )
    await plane.client("bob").approve(view)
    plane.stop()
    facade = start_facade_of(plane, own_database, tmp_path / "facade", {})
    try:
        digest = upstream.blob(CONTENT)
        pull = await RetryingDevice(facade.device()).pull(pull_path(upstream, digest), digest)
    finally:
        facade.child.kill()
    fault_report.row("control plane away", str(pull), "nothing to recover")


@pytest.mark.long
async def test_a_token_endpoint_that_is_away(
    token_registry: Registry,
    token_server: TokenServer,
    client_tls: ssl.SSLContext,
    server_ca: CertificateAuthority,
    repository: str,
    facade: Facade,
    writer: StatementWriter,
    fault_report: FaultReport,
) -> None:
    """Pulls go on with the token in hand; another repository's wait for the endpoint."""
    other = f"{repository}/other"
    images = {name: make_image({"file": name.encode()}) for name in (repository, other)}
    for name, image in images.items():
        login = {"Authorization": f"Bearer {token_server.mint(name, 'pull', 'push')}"}
        await push(image, Destination(token_registry.url, name, login, client_tls))
    approval = writer.approval(
        token_registry.host,
        username=ROBOT,
        token=ROBOT_PASSWORD,
        auth_realms=(token_server.realm,),
        ca_certificate=server_ca.pem.decode(),
    )
    await write_and_wait(facade, writer, approval)
    device = facade.device()

    def path(name: str, kind: str, digest: str) -> str:
        return f"/v2/{token_registry.host.replace(':', '_')}/{name}/{kind}/{digest}"

    first = await device.get(path(repository, "manifests", images[repository].digest))
    assert first.status == 200
    await token_server.__aexit__(None, None, None)
    for blob in images[repository].blobs:
        assert (await device.get(path(repository, "blobs", blob.digest))).body == blob.body
    put_off = await device.get(path(other, "manifests", images[other].digest))
    assert (put_off.status, put_off.error_code) == (503, "UNAVAILABLE")
    await token_server.__aenter__()
    config = images[other].config
    began = time.monotonic()
    pull = await RetryingDevice(device).pull(path(other, "blobs", config.digest), config.digest)
    fault_report.row(
        "token endpoint away",
        f"200 with the token in hand; without one: {put_off.status}, {pull}",
        f"served {time.monotonic() - began:.1f} s behind it",
    )
