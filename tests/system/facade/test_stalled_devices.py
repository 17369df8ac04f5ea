"""Sockets that stall, connections without end or number: good devices pull all the same."""

import asyncio
import resource
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.device_stream import End, device_stream
from tests.support.eventually import PATIENCE_SECONDS, eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.memory import MIB
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.behaviour import Holds
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade

PING = request_bytes(b"/v2/")
DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # the facade's, and ours
STALLED = min(1000, DESCRIPTORS // 2)
HANDSHAKES = min(512, DESCRIPTORS // 8)  # as many as are kept
BEYOND = 300  # more than those
PER_DEVICE = 4
MOST_CONNECTIONS = 2 * PER_DEVICE  # of a device: as many again wait for their turn, or idle


@pytest.fixture(scope="module")
def facade_settings() -> Mapping[str, str]:
    """A device's bound that is soon reached."""
    return {"FACADE_MAX_CONNECTIONS_PER_DEVICE": str(PER_DEVICE)}


@asynccontextmanager
async def stalled_sockets(port: int, count: int, sent: bytes = b"") -> AsyncIterator[None]:
    """Connect, send that much and nothing more."""
    loop, made = asyncio.get_running_loop(), list[socket.socket]()
    try:
        for _ in range(count):
            made.append(socket.socket())
            made[-1].setblocking(False)  # noqa: FBT003 - the standard library's own signature
            await loop.sock_connect(made[-1], ("127.0.0.1", port))
            if sent:
                await loop.sock_sendall(made[-1], sent)
        yield
    finally:
        for each in made:
            each.close()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"])
async def test_many_stalled_handshakes_keep_no_device_from_its_pull(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, sent: bytes
) -> None:
    """A thousand, if there are descriptors for them; they say nothing, or begin a handshake."""
    digest = upstream.blob(bytes(2 * MIB))
    await connect(facade, writer, upstream)
    path, tls = pull_path(upstream, digest), facade.device().tls()
    async with (
        stalled_sockets(facade.port, STALLED, sent),
        asyncio.timeout(PATIENCE_SECONDS),
        device_stream(facade.port, tls, path) as stream,
    ):
        assert await stream.end() is End.WHOLE
        assert stream.digest == digest


async def test_more_stalled_handshakes_than_are_kept_give_way_to_new_ones(facade: Facade) -> None:
    """Those that stopped go, then the same address's oldest: memory and descriptors are bounded."""
    before = metric(facade, "facade_device_handshakes_failed_total")
    descriptors = len(open_descriptors(facade))
    async with stalled_sockets(facade.port, HANDSHAKES + BEYOND):
        await eventually(
            lambda: metric(facade, "facade_device_handshakes_failed_total") >= before + BEYOND
        )
        given_up = 'facade_device_handshakes_refused_total{reason="given_up"}'
        assert metric(facade, given_up) >= BEYOND
        assert len(facade.log_lines(event="handshake refused", code="given_up")) == 1
        assert metric(facade, "facade_device_handshakes") <= HANDSHAKES
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await facade.device().get("/v2/")).status == 200
    # None is left of those that were given up, and of those that were not.
    await eventually(lambda: len(open_descriptors(facade)) <= descriptors)
    await eventually(lambda: metric(facade, "facade_device_handshakes") == 0)


async def test_an_idle_connection_gives_way_to_the_devices_next_one(facade: Facade) -> None:
    """The longest idle one; those in use stay."""
    device = facade.device(facade.files.device_ca.issue_device(device="press-idle"))
    tls = device.tls()
    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(raw_connection(device, tls))
            for _ in range(MOST_CONNECTIONS)
        ]
        for each in [*connections, connections[0]]:  # the second one is idle for longest
            await each.send(PING)
            assert (await each.answer()).status == 200
        one_more = await stack.enter_async_context(raw_connection(device, tls))
        await one_more.send(PING)
        assert (await one_more.answer()).status == 200
        assert await connections[1].until_reset() == b""
        for each in (connections[0], *connections[2:]):
            await each.send(PING)
            assert (await each.answer()).status == 200


async def test_a_devices_pulls_beyond_its_number_wait_for_one_to_end(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """And keep no other device waiting."""
    held = Holds(MIB)
    path = pull_path(upstream, upstream.blob(bytes(2 * MIB), get=held))
    quick = pull_path(upstream, upstream.blob(b"quick"))
    await connect(facade, writer, upstream)
    device = facade.device(facade.files.device_ca.issue_device(device="press-many"))
    tls = device.tls()
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(device_stream(facade.port, tls, path))
            for _ in range(PER_DEVICE)
        ]
        one_more = await stack.enter_async_context(raw_connection(device, tls))
        await one_more.send(request_bytes(quick.encode(), method="HEAD"))
        waiting = asyncio.create_task(one_more.answer(to="HEAD"))
        assert (await facade.device().get(quick)).body == b"quick"
        assert not waiting.done()
        held.gate.set()
        assert await streams[0].end() is End.WHOLE
        assert (await waiting).status == 200


async def test_a_full_facade_lets_devices_wait_until_there_is_room(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """Nobody is refused and no running pull is cut; who waits is served when one has ended."""
    settings = {"FACADE_MAX_CONNECTIONS": "2"}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    path = pull_path(upstream, upstream.blob(bytes(32 * MIB)))
    await connect(facade, own_writer, upstream)
    tls = facade.device().tls()
    async with (
        device_stream(facade.port, tls, path) as first,
        device_stream(facade.port, tls, path) as second,
    ):
        waiting = asyncio.create_task(facade.device().get("/v2/"))
        await first.take(1000)
        await asyncio.sleep(0.5)
        assert not waiting.done()
        assert await first.end() is End.WHOLE
        assert (await waiting).status == 200
        assert await second.end() is End.WHOLE


async def test_an_old_connection_says_that_its_answer_is_the_last(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """And a pull that runs when it grows old is left to its end."""
    settings = {"FACADE_MAX_CONNECTION_AGE": "2s"}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    path = pull_path(upstream, upstream.blob(bytes(32 * MIB)))
    await connect(facade, own_writer, upstream)
    async with AsyncExitStack() as stack:
        busy = await stack.enter_async_context(raw_connection(facade.device()))
        old_at = time.monotonic() + 2
        await busy.send(request_bytes(path.encode()) + PING)  # while it is young
        _, length = await busy.head()
        idle = await stack.enter_async_context(raw_connection(facade.device()))
        assert await idle.rest() == b""
        await eventually(lambda: time.monotonic() >= old_at)  # each has an age of its own
        assert await busy.exactly(length) == bytes(length)
        last = await busy.answer()
        assert (last.status, last.header("Connection")) == (200, "close")
        assert await busy.rest() == b""


async def test_pipelined_requests_are_answered_in_order(facade: Facade) -> None:
    """Two at once, and a third whose end comes late."""
    async with raw_connection(facade.device()) as connection:
        await connection.send(PING + request_bytes(b"/nonsense") + PING[:10])
        statuses = [(await connection.answer()).status for _ in range(2)]
        await connection.send(PING[10:])
        assert [*statuses, (await connection.answer()).status] == [200, 404, 200]


async def test_long_pipelined_requests_are_all_answered(facade: Facade) -> None:
    """Each is 47 KiB: of so many that come together, only some are read at once."""
    fields = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 8000) for number in range(6))
    async with raw_connection(facade.device()) as connection:
        sending = asyncio.ensure_future(
            connection.send(32 * request_bytes(b"/v2/", headers=fields))
        )
        assert [(await connection.answer()).status for _ in range(32)] == [200] * 32
        await sending


async def test_a_half_closed_connection_ends_and_looks_like_no_whole_answer(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """TLS has no half: a device that says it will send no more is gone."""
    path = pull_path(upstream, upstream.blob(bytes(32 * MIB)))
    await connect(facade, writer, upstream)
    device = facade.device()

    def ask() -> int:
        raw = socket.create_connection(("localhost", facade.port))
        with device.tls().wrap_socket(raw, server_hostname="localhost") as connection:
            connection.sendall(request_bytes(path.encode()))
            received = len(connection.recv(100))
            socket.socket.shutdown(connection, socket.SHUT_WR)
            try:
                while chunk := connection.recv(65536):
                    received += len(chunk)
            except (ConnectionError, ssl.SSLError):
                pass  # a reset in the middle: not whole
            return received

    open_before = metric(facade, "facade_device_connections")
    assert await asyncio.to_thread(ask) < 32 * MIB
    await eventually(lambda: metric(facade, "facade_device_connections") <= open_before)


def open_descriptors(facade: Facade) -> list[Path]:
    """Return what the process has open (proc(5))."""
    return list(Path(f"/proc/{facade.child.pid}/fd").iterdir())


def metric(facade: Facade, name: str) -> float:
    """Return the value of a metric without labels."""
    lines = facade.operations("/metrics")[1].splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name} "))
    return float(line.removeprefix(f"{name} "))
