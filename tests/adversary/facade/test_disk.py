"""A disk that does not answer, while a device asks for a warm manifest and another is revoked."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from shared.outside_bytes import Party
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.guards import check
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade, FacadeFiles
from tests.support.facade_states import until_accepted
from tests.support.failing_disk.calls import Call
from tests.support.failing_disk.disk import FailingDisk, failing_disk
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack
STORE_THREADS = 16  # of a facade, for the store's disk
PULLS = STORE_THREADS + 4
PING = request_bytes(b"/v2/")


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    """A disk that answers until it is told not to."""
    with failing_disk() as made:
        yield made


@pytest.fixture
def facade(
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    disk: FailingDisk,
    settings: Mapping[str, str],
    tmp_path: Path,
) -> Iterator[Facade]:
    """A facade whose store lies on it."""
    files = FacadeFiles.write(
        tmp_path / "facade",
        statement_public_pem=own_writer.statement_public_pem,
        sealing_private_pem=own_writer.sealing_private_pem,
    )
    settings = {**settings, "FACADE_LOG_LEVEL": "debug"}
    running = Facade.start(files, own_database.facade_url, settings, prefix=disk.prefix)
    yield running
    running.child.kill()


@check(
    "facade/loop/thread_work.py",
    '_access: Final = ThreadPoolExecutor(ACCESS_THREADS, thread_name_prefix="access")',
    "_access: Final = _store",
)
async def test_an_fsync_that_hangs(attacked: AttackedFacade, disk: FailingDisk) -> None:
    """A revocation was not heard, for it waited for a thread in which blobs are written."""
    await attacked.connect()
    paths = [attacked.blob(bytes([each]) * 100_000) for each in range(PULLS)]
    revoked, pulling = attacked.attacker("revoked"), attacked.attacker()
    async with (
        raw_connection(revoked) as connection,
        attacked.watched("an fsync that hangs", Party.FILE) as attack,
    ):
        await connection.send(PING)
        assert (await connection.answer()).status == 200
        with disk.hanging(Call.SYNC, f"{attacked.cache}/*") as hanging:
            pulls = asyncio.gather(*(pulling.get(path) for path in paths))  # some wait for a thread
            await eventually(lambda: hanging.struck >= STORE_THREADS)
            revocation = attacked.writer.device_revocation(
                "spiffe://example.com/fleet/line-a/device/revoked"
            )
            await attacked.writer.write(revocation)
            await until_accepted(attacked.facade, revocation)
            assert await connection.until_reset() == b""
            await attack.to_its_end()
        assert {answer.status for answer in await pulls} == {200}
