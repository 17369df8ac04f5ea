"""A cache disk that does not answer keeps nobody from being revoked."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from facade.loop.thread_work import STORE_THREADS
from tests.faults.disk_errors.failing_machine import FailingMachine
from tests.support.eventually import eventually
from tests.support.facade_process import Facade
from tests.support.facade_states import pull_path, until_accepted
from tests.support.failing_disk.calls import Call
from tests.support.failing_disk.disk import FailingDisk
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.statement_writer import StatementWriter

PULLS: Final = STORE_THREADS + 4  # more than there are threads, of the loop's own too
PING: Final = request_bytes(b"/v2/")
BLOB_BYTES: Final = 100_000


@pytest.mark.parametrize(
    "call, files, threads", [(Call.SYNC, "*", STORE_THREADS), (Call.READ, "index.sqlite3*", 1)]
)
async def test_a_device_is_revoked_while_threads_of_the_store_wait_for_the_disk(
    machine: FailingMachine,
    facade: Facade,
    writer: StatementWriter,
    failing: FailingDisk,
    call: Call,
    files: str,
    threads: int,
) -> None:
    """Whether it may be served was found out where blobs are written, and rights read."""
    device = facade.device(facade.files.device_ca.issue_device(device=f"revoked-{threads}"))
    uri = f"spiffe://example.com/fleet/line-a/device/revoked-{threads}"
    async with raw_connection(device) as connection:
        await connection.send(PING)
        assert (await connection.answer()).status == 200
        with failing.hanging(call, f"{machine.cache}/{files}") as hanging:
            digests = [machine.blob(BLOB_BYTES) for _ in range(PULLS)]
            pulls = asyncio.gather(*(machine.pull(digest) for digest in digests))
            await eventually(lambda: hanging.struck >= threads)
            revocation = writer.device_revocation(uri)
            await writer.write(revocation)
            await until_accepted(facade, revocation)
            assert await connection.until_reset() == b""
        await pulls
    for digest in digests:
        await machine.is_kept(digest)
    await machine.is_well(digests[0])


@pytest.mark.long
async def test_a_facade_that_cannot_stop_is_ended(
    machine: FailingMachine, facade: Facade, failing: FailingDisk, tmp_path: Path
) -> None:
    """It waited for its threads, which waited for the disk: no other could take its place."""
    folder = tmp_path / "own"
    files = facade.files
    settings = facade.environment | {
        "FACADE_CACHE_DIR": str(folder / "cache"),
        "FACADE_STATE_DIR": str(folder / "state"),
        "FACADE_DRAIN_TIMEOUT": "1s",
    }
    addresses = {"FACADE_LISTEN", "FACADE_OPERATIONS_LISTEN"}
    own = Facade.start(
        files,
        facade.environment["FACADE_DATABASE_URL"],
        {name: value for name, value in settings.items() if name not in addresses},
        prefix=failing.prefix,
    )
    try:
        with failing.hanging(Call.SYNC, f"{folder}/cache/*") as hanging:
            digest = machine.blob(BLOB_BYTES)
            path = pull_path(machine.upstream, digest)
            assert (await own.device().get(path)).status == 200
            await eventually(lambda: hanging.struck > 0)
            assert await asyncio.to_thread(own.stop) == 1
        assert own.log_lines(event="not stopped in time, ended")
    finally:
        own.child.kill()
