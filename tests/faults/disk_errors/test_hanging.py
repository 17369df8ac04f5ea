"""A cache disk that does not answer keeps nobody from being revoked."""

import asyncio
from typing import Final

from facade.thread_work import STORE_THREADS
from tests.faults.disk_errors.failing_machine import FailingMachine
from tests.support.eventually import eventually
from tests.support.facade_process import Facade
from tests.support.facade_states import until_accepted
from tests.support.failing_disk.calls import Call
from tests.support.failing_disk.disk import FailingDisk
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.statement_writer import StatementWriter

PULLS: Final = STORE_THREADS + 4  # more than there are threads, of the loop's own too
PING: Final = request_bytes(b"/v2/")
BLOB_BYTES: Final = 100_000


async def test_a_device_is_revoked_while_every_thread_of_the_store_waits_for_the_disk(
    machine: FailingMachine,
    facade: Facade,
    writer: StatementWriter,
    failing: FailingDisk,
) -> None:
    """Whether it may be served was found out in the same threads as blobs are written in."""
    device = facade.device(facade.files.device_ca.issue_device(device="revoked"))
    uri = "spiffe://example.com/fleet/line-a/device/revoked"
    async with raw_connection(device) as connection:
        await connection.send(PING)
        assert (await connection.answer()).status == 200
        with failing.hanging(Call.SYNC, f"{machine.cache}/*") as hanging:
            digests = [machine.blob(BLOB_BYTES) for _ in range(PULLS)]
            pulls = asyncio.gather(*(machine.pull(digest) for digest in digests))
            await eventually(lambda: hanging.struck >= STORE_THREADS)
            revocation = writer.device_revocation(uri)
            await writer.write(revocation)
            await until_accepted(facade, revocation)
            assert await connection.until_reset() == b""
        await pulls
    for digest in digests:
        await machine.is_kept(digest)
    await machine.is_well(digests[0])
