"""How long an operator's act takes to reach devices, measured at the devices.

Through the whole of it: API, signing, Postgres, NOTIFY, facade, TCP. The times are printed; the
bounds here are generous, for the machine may be busy with other tests.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from deploy.dev.postgres import Postgres
from shared.keys import load_sealing_private_keys, load_statement_private_key
from shared.statement import ConnectionApproval
from tests.faults.report import FaultReport
from tests.faults.watched_streams import EndWatch, LiveStream, live_stream
from tests.support.both_processes import start_control_plane, start_facade_of
from tests.support.control_plane import ControlPlane
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, pull_path
from tests.support.raw_http import ask, raw_connection, request_bytes
from tests.support.simulators.behaviour import Slow, Stalls
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import NOTIFY_ALONE

CONNECTIONS: Final = 10_000
APPROVALS: Final = 40
STREAMS: Final = 500
STOPPED_EVERY: Final = 5  # of the streams, one of so many is of a device that does not read
REVOKED: Final = 100
READY_SECONDS: Final = 120.0  # with ten thousand connections and an empty state folder
GENEROUS_SECONDS: Final = 10.0  # one act on a machine that does much else
GENEROUS_P99_MILLISECONDS: Final = 5000
POLL_SECONDS: Final = 0.003
BLOB: Final = bytes(32 * 1024 * 1024)
PING: Final = request_bytes(b"/v2/")
SLOW: Final = Slow(piece_bytes=16 * 1024, pause_seconds=0.5)  # far longer than the test
STALLED: Final = Stalls(after=8 * 1024 * 1024)  # more than the buffers of a stopped device
STORED_BYTES: Final = "256MiB"


@pytest.fixture
async def plane(
    postgres: Postgres, own_database: FacadeDatabase, tmp_path: Path
) -> AsyncIterator[ControlPlane]:
    """A control plane of the test's own."""
    started = await start_control_plane(postgres, own_database, tmp_path / "control-plane")
    yield started
    started.stop()


@pytest.fixture
async def start(
    plane: ControlPlane, own_database: FacadeDatabase, tmp_path: Path
) -> AsyncIterator[Callable[[], Facade]]:
    """Start a facade that polls once an hour: what it knows, it was notified of."""
    started: list[Facade] = []
    settings = {
        **NOTIFY_ALONE,
        "FACADE_CACHE_DIR": str(tmp_path / "cache"),
        "FACADE_CACHE_MAX_BYTES": STORED_BYTES,
        "FACADE_LOG_LEVEL": "info",
    }

    def start() -> Facade:
        folder = tmp_path / "facade"
        facade = start_facade_of(plane, own_database, folder, settings, wait=False)
        started.append(facade)
        facade.child.wait_until(facade.is_ready, READY_SECONDS)
        return facade

    yield start
    for facade in started:
        facade.child.kill()


def pen_of(plane: ControlPlane) -> StatementWriter:
    """Return the control plane's pen, for what would take it minutes to write."""
    (sealing_key,) = load_sealing_private_keys(plane.keys.sealing_private.read_bytes()).values()
    statement_key = load_statement_private_key(plane.keys.statement_private.read_bytes())
    return StatementWriter(plane.owner_url, statement_key, sealing_key)


async def fill(plane: ControlPlane, count: int) -> None:
    """Have so many approved connections in the database, each with a sealed secret."""
    pen = pen_of(plane)

    def approve(number: int) -> ConnectionApproval:
        return pen.approval(f"registry-{number}.example", username="robot", token="token")

    def statement(approval: ConnectionApproval) -> tuple[Any, ...]:
        stored = pen.sign(approval)
        content = (stored.type, stored.key_id, stored.payload, stored.signature)
        return (approval.subject, *content, approval.generation)

    approvals = await asyncio.to_thread(lambda: [approve(number) for number in range(count)])
    statements = await asyncio.to_thread(lambda: [statement(each) for each in approvals])
    connections = [
        (each.connection_id, f"registry-{n}.example") for n, each in enumerate(approvals)
    ]
    connection = await asyncpg.connect(plane.owner_url)
    try:
        columns = ("subject", "type", "key_id", "payload", "signature", "generation")
        await connection.copy_records_to_table("statements", records=statements, columns=columns)
        await connection.copy_records_to_table(
            "connections", records=connections, columns=("id", "host")
        )
    finally:
        await connection.close()


async def connect(
    plane: ControlPlane, upstream: RegistrySimulator, **fields: Any
) -> dict[str, Any]:
    """Have alice connect the registry; it is pending."""
    return await plane.client("alice").connect(
        str(upstream.host), username=USERNAME, token=CANARY_TOKEN, plain_http=True, **fields
    )


async def approve_and_pull(
    plane: ControlPlane, device: Device, view: dict[str, Any], path: str
) -> tuple[float, float]:
    """Approve; return the seconds until the API's answer, and until the device's content."""
    request = request_bytes(path.encode())
    async with raw_connection(device) as connection:
        await connection.send(request)
        assert (await connection.answer()).status == 404
        began = time.monotonic()

        async def approve() -> float:
            await plane.client("bob").approve(view)
            return time.monotonic() - began

        approving = asyncio.create_task(approve())
        async with asyncio.timeout(GENEROUS_SECONDS):
            while True:
                await connection.send(request)
                if (await connection.answer()).status == 200:
                    break
                await asyncio.sleep(POLL_SECONDS)
        until_served = time.monotonic() - began
        return await approving, until_served


@pytest.mark.long
async def test_approve_to_served_with_ten_thousand_connections(
    plane: ControlPlane,
    start: Callable[[], Facade],
    upstream: RegistrySimulator,
    fault_report: FaultReport,
) -> None:
    """An operator approves, and the first pull that asks after it is served."""
    await fill(plane, CONNECTIONS)
    began = time.monotonic()
    facade = start()
    ready_seconds = time.monotonic() - began
    assert len(facade.log_lines(event="statement accepted")) == CONNECTIONS
    device = facade.device()
    times = []
    for number in range(APPROVALS):
        repository = f"place-{number}/app"
        digest = upstream.blob(b"content %d" % number, repository=repository)
        path = pull_path(upstream, digest, repository=repository)
        view = await connect(plane, upstream, repository_prefix=f"place-{number}")
        times.append(await approve_and_pull(plane, device, view, path))
    until_answered, until_served = zip(*times, strict=True)
    fault_report.distribution("approve, the API's answer", until_answered)
    name = f"approve to served, {CONNECTIONS:,} connections (ready after {ready_seconds:.1f} s)"
    assert fault_report.distribution(name, until_served).p99 < GENEROUS_P99_MILLISECONDS


def identity_of(number: int) -> str:
    """Return what the certificate of a device says."""
    return f"spiffe://example.com/fleet/line-a/device/press-{number}"


def device_of(facade: Facade, number: int) -> Device:
    """Return a device with a new certificate."""
    return facade.device(facade.files.device_ca.issue_device(device=f"press-{number}"))


async def open_streams(
    stack: contextlib.AsyncExitStack, watch: EndWatch, facade: Facade, paths: tuple[str, str]
) -> list[LiveStream]:
    """Have all devices pull: of `paths`, those that read the first, those that do not the second.

    Return them when bytes have come to each that reads.
    """
    streams = []
    for number in range(STREAMS):
        reads = number % STOPPED_EVERY != 0
        device = device_of(facade, number)
        path = paths[0] if reads else paths[1]
        opened = live_stream(watch, device, identity_of(number), path, reads=reads)
        streams.append(await stack.enter_async_context(opened))
    reading = [each for number, each in enumerate(streams) if number % STOPPED_EVERY]
    await eventually(lambda: all(each.received for each in reading), seconds=60)
    return streams


@pytest.mark.long
async def test_revoked_to_cut_with_five_hundred_live_streams(
    plane: ControlPlane,
    start: Callable[[], Facade],
    upstream: RegistrySimulator,
    fault_report: FaultReport,
) -> None:
    """Devices that read and devices that stopped, with their buffers full, learn of it alike."""
    facade = start()
    bob = plane.client("bob")
    view = await connect(plane, upstream)
    await bob.approve(view)
    slow = pull_path(upstream, upstream.blob(BLOB, get=SLOW))
    stalled = pull_path(upstream, upstream.blob(BLOB + b"\1", get=STALLED))
    until_cut, until_answered = [], []
    async with contextlib.AsyncExitStack() as stack:
        watch = stack.enter_context(EndWatch())
        streams = await open_streams(stack, watch, facade, (slow, stalled))
        assert watch.ended == {}
        for stream in streams[:REVOKED]:
            began = time.monotonic()
            await bob.revoke_device(device=stream.identity, reason="measured")
            until_answered.append(time.monotonic() - began)
            end = await watch.end_of(stream, GENEROUS_SECONDS)
            await eventually(lambda: end.was_reset or stream.read_a_reset)  # noqa: B023 - awaited here
            until_cut.append(end.at - began)
            assert (await ask(stream.device, PING)).status == 403
        assert len(watch.ended) == REVOKED
        received = [each.received for each in streams]
        await eventually(lambda: any(each.received > 0 for each in streams[REVOKED:]))
        assert max(received) < len(BLOB)
        began = time.monotonic()
        await bob.revoke(view["id"])
        ends = [await watch.end_of(stream, GENEROUS_SECONDS) for stream in streams[REVOKED:]]
        until_all_cut = [end.at - began for end in ends]
    fault_report.distribution("device-revocations, the API's answer", until_answered)
    name = f"a connection's revocation to each of its {STREAMS - REVOKED} streams cut"
    fault_report.distribution(name, until_all_cut)
    name = f"device-revocations to cut, {STREAMS} live streams"
    assert fault_report.distribution(name, until_cut).p99 < GENEROUS_P99_MILLISECONDS


async def until_refused(device: Device) -> None:
    """Ask on one connection until it is answered with 403, or cut."""
    async with raw_connection(device) as connection, asyncio.timeout(GENEROUS_SECONDS):
        with contextlib.suppress(ConnectionError):
            while True:
                await connection.send(PING)
                if (await connection.answer()).status == 403:
                    return
                await asyncio.sleep(POLL_SECONDS)


@pytest.mark.long
async def test_revoked_to_refused_between_two_requests(
    plane: ControlPlane, start: Callable[[], Facade], fault_report: FaultReport
) -> None:
    """A device that asks again and again has no answer but 403 from some moment on."""
    facade = start()
    bob, seconds = plane.client("bob"), []
    for number in range(APPROVALS):
        device = device_of(facade, number)
        began = time.monotonic()
        revoking = asyncio.create_task(bob.revoke_device(device=identity_of(number)))
        await until_refused(device)
        seconds.append(time.monotonic() - began)
        await revoking
        assert (await ask(device, PING)).status == 403
    name = "device-revocations to refused, of a device that asks all the time"
    assert fault_report.distribution(name, seconds).p99 < GENEROUS_P99_MILLISECONDS
