"""Postgres away, frozen, restarted or refusing: what was approved goes on being served."""

import asyncio
import contextlib
import random

import pytest

from deploy.dev.postgres import Postgres
from shared.statement import ConnectionApproval
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import (
    CANARY_TOKEN,
    USERNAME,
    connect,
    pull_path,
    until_accepted,
    write_and_wait,
)
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade

QUICK_POLL = {"FACADE_POLL_INTERVAL": "100ms"}
KILLS = 4


@pytest.fixture
def own_database(mortal_database: FacadeDatabase) -> FacadeDatabase:
    """A database on a server that these tests stop, kill and freeze."""
    return mortal_database


def ready(facade: Facade) -> tuple[int, str]:
    """Return status and text of `/readyz`."""
    return facade.operations("/readyz")


async def until_said(facade: Facade, words: str) -> None:
    """Return once `/readyz` says these words."""
    await eventually(lambda: words in ready(facade)[1])


async def require_unavailable(device: Device, path: str) -> None:
    """Fail unless the pull is put off."""
    answer = await device.get(path)
    assert (answer.status, answer.error_code) == (503, "UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_restart_without_postgres_serves_what_was_approved(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """From the state folder, still sealed and signed; and it follows Postgres when that is back."""
    facade = start_facade(own_writer, own_database.facade_url)
    path = pull_path(upstream, upstream.blob(b"content"))
    approval = await connect(facade, own_writer, upstream)
    assert facade.stop() == 0
    mortal.stop()

    facade.restart()
    refused = "the database cannot be read: ConnectionRefusedError: nothing listens"
    await until_said(facade, refused)  # not: was not read yet
    status, text = ready(facade)
    assert status == 200
    assert "serving the last snapshot" in text
    assert (await facade.device().get(path)).body == b"content"

    mortal.start()
    await own_writer.revoke(approval.connection_id)

    async def is_refused() -> bool:
        return (await facade.device().get(path)).status == 404

    await eventually(is_refused)
    await until_said(facade, "following the database")


async def test_a_first_start_without_postgres_waits_and_recovers_by_itself(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """It knows of nothing, and says so: to devices 503 and never 404."""
    path = pull_path(upstream, upstream.blob(b"content"))
    await own_writer.approve(
        str(upstream.host), username=USERNAME, token=CANARY_TOKEN, plain_http=True
    )
    mortal.stop()
    facade = start_facade(own_writer, own_database.facade_url, wait=False)
    device = facade.device()
    status, text = ready(facade)
    assert status == 503
    assert "the database" in text
    await require_unavailable(device, path)
    await require_unavailable(device, "/v2/nowhere.example/a/blobs/sha256:" + "0" * 64)
    # What is decided on the request alone is decided all the same.
    assert (await device.get("/v2/")).status == 200
    assert (await device.get("/v2/_catalog")).error_code == "UNSUPPORTED"
    assert upstream.requests == []
    mortal.start()
    await eventually(facade.is_ready)
    assert (await device.get(path)).body == b"content"


async def test_postgres_killed_meanwhile_is_not_noticed_by_devices(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """And what it says when it is back is heard, though the session it listened on is gone."""
    facade = start_facade(own_writer, own_database.facade_url)
    path = pull_path(upstream, upstream.blob(b"content"))
    approval = await connect(facade, own_writer, upstream)
    device = facade.device()
    mortal.kill()
    await until_said(facade, "the database cannot be read")
    assert ready(facade)[0] == 200
    assert (await device.get(path)).body == b"content"
    mortal.start()
    await until_said(facade, "following the database")
    await own_writer.revoke(approval.connection_id)

    async def is_refused() -> bool:
        return (await device.get(path)).status == 404

    await eventually(is_refused)
    assert facade.log_lines(level="error") == []


async def test_a_frozen_postgres_is_not_noticed_by_devices(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """Nothing is refused and nothing answered: no pull waits for the database."""
    facade = start_facade(own_writer, own_database.facade_url, QUICK_POLL)
    path = pull_path(upstream, upstream.blob(b"content"))
    await connect(facade, own_writer, upstream)
    mortal.pause()
    try:
        for _ in range(3):
            assert (await facade.device().get(path)).body == b"content"
            await asyncio.sleep(0.2)  # two polls begin meanwhile
        assert ready(facade)[0] == 200
    finally:
        mortal.resume()
    rotated = own_writer.approval("other.example")
    await own_writer.write(rotated)
    await until_accepted(facade, rotated)


async def test_a_snapshot_that_is_too_old_fails_closed_and_recovers(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """A revocation may be waiting behind the outage; also a restart does not make it younger."""
    limits = QUICK_POLL | {"FACADE_SNAPSHOT_MAX_AGE": "4s"}
    facade = start_facade(own_writer, own_database.facade_url, limits)
    path = pull_path(upstream, upstream.blob(b"content"))
    await connect(facade, own_writer, upstream)
    device = facade.device()
    assert (await device.get(path)).status == 200
    mortal.kill()
    await eventually(lambda: ready(facade)[0] == 503)
    assert "more than the limit" in ready(facade)[1]
    asked = len(upstream.requests)
    await require_unavailable(device, path)
    assert len(upstream.requests) == asked
    facade.child.kill()
    facade.restart(wait=False)
    await eventually(facade.listens)
    assert ready(facade)[0] == 503
    await require_unavailable(device, path)
    mortal.start()
    await eventually(facade.is_ready)
    assert (await device.get(path)).status == 200


async def test_a_refused_login_is_said_without_the_password(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
) -> None:
    """So is a database that is not there."""
    password = "canary-5522-password"
    missing = own_database.facade_url.replace(own_database.name, "nowhere")
    for url in (mortal.url("device_endpoint", password, own_database.name), missing):
        facade = start_facade(own_writer, url, wait=False)
        await until_said(facade, "the database cannot be read")
        assert ready(facade)[0] == 503
        said = ready(facade)[1] + facade.log_text + facade.operations("/metrics")[1]
        assert url.partition("@")[0].rpartition(":")[2] not in said
        assert "Traceback" not in said
        assert facade.stop() == 0


async def test_a_place_that_is_no_postgres_is_tried_again(
    own_writer: StatementWriter, start_facade: StartFacade
) -> None:
    """Whatever answers there, and whatever the name is: the process does not end of it."""
    server = await asyncio.start_server(answer_garbage, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for place in (
            f"127.0.0.1:{port}/d?sslmode=disable",
            "a" * 64 + ".invalid:5432/d?sslmode=require",
        ):
            facade = start_facade(own_writer, f"postgresql://u:p@{place}", wait=False)
            await until_said(facade, "the database cannot be read")
            assert facade.child.running
            assert facade.log_lines(level="error") == []
            warned = facade.log_lines(event="password is exposed")
            assert len(warned) == ("invalid" in place)
            facade.child.kill()


async def answer_garbage(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a message that PostgreSQL never sends: an empty question for a password."""
    writer.write(b"R\0\0\0\4")
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    writer.transport.abort()


async def test_a_kill_at_any_moment_leaves_the_state_folder_usable(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
) -> None:
    """What was on disk before the kill is there after it, and nothing was half-written."""
    facade = start_facade(own_writer, own_database.facade_url, QUICK_POLL)
    moments = random.Random(20_26)  # noqa: S311 - the same moments at each run
    approvals: list[ConnectionApproval] = []
    for _ in range(KILLS):
        writing = asyncio.create_task(write_approvals(own_writer, approvals))
        await asyncio.sleep(moments.uniform(0, 0.3))
        facade.child.kill()
        writing.cancel()
        await asyncio.wait([writing])
        facade.restart()
    await eventually(lambda: connections(facade) == len(approvals))
    approvals.append(own_writer.approval("last.example"))
    await write_and_wait(facade, own_writer, approvals[-1])  # all before it are on the disk, too
    facade.child.kill()
    mortal.stop()
    facade.restart()
    assert connections(facade) == len(approvals)
    unwanted = ("remembered statement refused", "statement refused", "state file not written")
    assert not [line for line in facade.log_lines() if line["event"] in unwanted]
    assert facade.log_lines(level="error") == []


async def write_approvals(writer: StatementWriter, written: list[ConnectionApproval]) -> None:
    """Write approvals until cancelled."""
    while True:
        approval = writer.approval(f"host-{len(written)}.example")
        written.append(approval)
        await asyncio.shield(asyncio.ensure_future(writer.write(approval)))


def connections(facade: Facade) -> int:
    """Return how many connections the facade says it serves."""
    text = facade.operations("/metrics")[1]
    (line,) = (
        line for line in text.splitlines() if line.startswith("facade_approved_connections ")
    )
    return int(float(line.split()[1]))
