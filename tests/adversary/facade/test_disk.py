"""A disk that does not answer, while a device asks for a warm manifest and another is revoked."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from facade.loop.thread_work import STORE_THREADS
from shared.outside_bytes import Party
from tests.adversary.watch import Target, Watch
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade, FacadeFiles
from tests.support.facade_states import connect, pull_path, until_accepted
from tests.support.failing_disk.calls import Call
from tests.support.failing_disk.disk import FailingDisk, failing_disk
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack
PULLS = STORE_THREADS + 4
PING = request_bytes(b"/v2/")


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    """A disk that answers until it is told not to."""
    with failing_disk() as made:
        yield made


@pytest.fixture
def facade(
    own_writer: StatementWriter, own_database: FacadeDatabase, disk: FailingDisk, tmp_path: Path
) -> Iterator[Facade]:
    """A facade whose store lies on it."""
    files = FacadeFiles.write(
        tmp_path / "facade",
        statement_public_pem=own_writer.statement_public_pem,
        sealing_private_pem=own_writer.sealing_private_pem,
    )
    settings = {
        "FACADE_CACHE_DIR": str(tmp_path / "cache"),
        "FACADE_CACHE_MAX_BYTES": "256MiB",
        "FACADE_LOG_LEVEL": "debug",
        "FACADE_POLL_INTERVAL": "5s",
    }
    running = Facade.start(files, own_database.facade_url, settings, prefix=disk.prefix)
    yield running
    running.child.kill()


async def test_an_fsync_that_hangs(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
    disk: FailingDisk,
    tmp_path: Path,
) -> None:
    """A revocation was not heard, for it waited for a thread in which blobs are written."""
    await connect(facade, own_writer, upstream)
    paths = [pull_path(upstream, upstream.blob(bytes([each]) * 100_000)) for each in range(PULLS)]
    revoked = facade.device(facade.files.device_ca.issue_device(device="revoked"))
    pulling = facade.device()
    async with (
        raw_connection(revoked) as connection,
        watch("V5", "an fsync that hangs", Party.FILE, target) as attack,
    ):
        await connection.send(PING)
        assert (await connection.answer()).status == 200
        with disk.hanging(Call.SYNC, f"{tmp_path}/cache/*") as hanging:
            pulls = asyncio.gather(*(pulling.get(path) for path in paths))  # some wait for a thread
            await eventually(lambda: hanging.struck >= STORE_THREADS)
            revocation = own_writer.device_revocation(
                "spiffe://example.com/fleet/line-a/device/revoked"
            )
            await own_writer.write(revocation)
            await until_accepted(facade, revocation)
            assert await connection.until_reset() == b""
            await attack.to_its_end()
        assert {answer.status for answer in await pulls} == {200}
