"""A facade that is told to stop lets nobody in any more, and serves whoever is in to the end."""

import asyncio
import contextlib
import hashlib
import signal
from typing import Any

import orjson
import pytest

from tests.support.device_stream import End, device_stream
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path, write_and_wait
from tests.support.memory import MIB
from tests.support.raw_http import ask, raw_connection, request_bytes
from tests.support.simulators.behaviour import Holds, Stalls
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade

BLOB = b"a running pull" * 100_000
HALF = len(BLOB) // 2
STALLED = Stalls(after=HALF)
CHUNK_BYTES = len(BLOB) // 5  # what a chunked pull takes of each answer to an open range
MANY_BYTES = 64 * MIB  # more than waits anywhere for a device that does not read
MANIFEST = b'{"schemaVersion":2,"config":{},"layers":[]}'
PING = request_bytes(b"/v2/")


@pytest.fixture
async def own_facade(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> Facade:
    """A facade with the registry connected, that gives running pulls longer than a test waits."""
    facade = start_facade(own_writer, own_database.facade_url, {"FACADE_DRAIN_TIMEOUT": "2m"})
    await connect(facade, own_writer, upstream)
    return facade


def another(facade: Facade, name: str = "press-8") -> Device:
    """Return a device that is not the default one."""
    return facade.device(facade.files.device_ca.issue_device(device=name))


async def begin_to_drain(facade: Facade, with_signal: signal.Signals = signal.SIGTERM) -> None:
    """Tell it to stop; return once it drains."""
    facade.child.process.send_signal(with_signal)
    await eventually(lambda: facade.operations("/readyz") == (503, "shutting down\n"))


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
async def test_a_running_pull_is_finished_and_nobody_is_let_in(
    own_facade: Facade, upstream: RegistrySimulator, with_signal: signal.Signals
) -> None:
    """Whole and right; meanwhile the facade is not ready, and whoever connects goes elsewhere."""
    facade, held = own_facade, Holds(HALF)
    digest = upstream.blob(BLOB, get=held)
    device, other = facade.device(), another(facade)
    async with raw_connection(other) as idle, raw_connection(device) as pulling:
        await idle.send(PING)
        assert (await idle.answer()).header("Connection") is None
        await pulling.send(request_bytes(pull_path(upstream, digest).encode()))
        assert await pulling.head() == (200, len(BLOB))
        await begin_to_drain(facade, with_signal)
        assert facade.operations("/healthz")[0] == 200
        await eventually(lambda: not facade.listens())
        with pytest.raises(ConnectionRefusedError):
            await ask(other, PING)
        assert await idle.rest() == b""
        held.gate.set()
        body = await pulling.exactly(len(BLOB))
    assert hashlib.sha256(body).hexdigest() == digest.partition(":")[2]
    assert await ended(facade) == 0
    events = [line["event"] for line in logged(facade) if line["logger"] == "facade"]
    assert events[-2:] == ["draining", "stopped"]
    assert [line for line in logged(facade) if line["level"] == "error"] == []


async def test_what_is_asked_on_an_open_connection_is_answered(
    own_facade: Facade, upstream: RegistrySimulator
) -> None:
    """With the bytes, never with 503; the answer says that it is the last one there."""
    held = Holds(HALF)
    layer, running = upstream.blob(b"layer"), upstream.blob(BLOB, get=held)
    manifest = pull_path(upstream, upstream.manifest(MANIFEST), kind="manifests")
    asked = ((manifest, MANIFEST), (manifest, MANIFEST), (pull_path(upstream, layer), b"layer"))
    device = own_facade.device()
    async with contextlib.AsyncExitStack() as stack:
        open_ones = [await stack.enter_async_context(raw_connection(device)) for _ in asked]
        for each in open_ones[1:]:  # one that was never asked on, and two that were
            await each.send(request_bytes(manifest.encode()))
            assert (await each.answer()).body == MANIFEST
        pulling = await stack.enter_async_context(raw_connection(device))
        await pulling.send(request_bytes(pull_path(upstream, running).encode()))
        assert await pulling.head() == (200, len(BLOB))
        await begin_to_drain(own_facade)
        await eventually(lambda: not own_facade.listens())
        for each, (path, content) in zip(open_ones, asked, strict=True):
            await each.send(request_bytes(path.encode()))
            answer = await each.answer()
            assert (answer.status, answer.body) == (200, content)
            assert answer.header("Connection") == "close"
            assert await each.rest() == b""
        held.gate.set()
        assert await pulling.exactly(len(BLOB)) == BLOB
        # What follows at once belongs to the pull, too.
        await pulling.send(request_bytes(pull_path(upstream, layer).encode()))
        assert (await pulling.answer()).body == b"layer"
    assert await ended(own_facade) == 0


async def test_whoever_connects_within_the_delay_is_served(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """A balancer sends devices until it has seen `/readyz`; and a pull goes on meanwhile.

    The pull is containerd's: an open range, a piece of its answer, and a new connection for the
    next one. The facade is told to stop when none of them is open.
    """
    settings = {"FACADE_DRAIN_DELAY": "2m", "FACADE_DRAIN_TIMEOUT": "3m"}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    await connect(facade, own_writer, upstream)
    path = pull_path(upstream, upstream.blob(BLOB))
    port, tls = facade.port, facade.device().tls()
    received = bytearray()
    while len(received) < len(BLOB):
        wanted = {"Range": f"bytes={len(received)}-"}
        end = len(received) + CHUNK_BYTES
        async with device_stream(port, tls, path, request_headers=wanted) as stream:
            assert stream.status == 206
            assert (stream.headers.get("connection") == "close") == (end > CHUNK_BYTES)
            while len(received) < end:
                received += await stream.take(end - len(received))
        if end == CHUNK_BYTES:
            await begin_to_drain(facade)
    assert received == BLOB
    for request in (PING, request_bytes(path.encode())):
        answer = await ask(another(facade), request)
        assert (answer.status, answer.header("Connection")) == (200, "close")
    facade.child.process.send_signal(signal.SIGTERM)  # not to wait for two minutes
    assert await ended(facade) == 1


async def test_the_address_is_given_up_after_the_delay(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """The time that is left is for pulls that run."""
    settings = {"FACADE_DRAIN_DELAY": "100ms", "FACADE_DRAIN_TIMEOUT": "2m"}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    await connect(facade, own_writer, upstream)
    held = Holds(HALF)
    path = pull_path(upstream, upstream.blob(BLOB, get=held))
    async with device_stream(facade.port, facade.device().tls(), path) as stream:
        await begin_to_drain(facade)
        await eventually(lambda: not facade.listens())
        held.gate.set()
        assert await stream.end() is End.WHOLE
    assert await ended(facade) == 0


async def test_a_device_that_pulls_for_ever_holds_up_no_shutdown(
    own_facade: Facade, upstream: RegistrySimulator
) -> None:
    """Each of its connections ends with an answer, and it cannot connect anew."""
    facade = own_facade
    path, device = pull_path(upstream, upstream.blob(b"content")), facade.device()

    async def pull_for_ever() -> None:
        while (await ask(device, request_bytes(path.encode()))).body == b"content":
            pass

    async with raw_connection(device) as kept:
        await kept.send(request_bytes(path.encode()))
        assert (await kept.answer()).body == b"content"
        pulling = asyncio.create_task(pull_for_ever())
        facade.child.process.send_signal(signal.SIGTERM)  # nothing holds up its end until we look
        await asyncio.wait([pulling])
        assert isinstance(pulling.exception(), ConnectionError)  # refused, or reset
    assert await ended(facade) == 0


async def test_a_device_that_is_revoked_meanwhile_is_cut(
    own_facade: Facade, own_writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Draining is no reason to serve it to the end, and it keeps nothing open."""
    facade = own_facade
    path = pull_path(upstream, upstream.blob(BLOB, get=STALLED))
    revoked = another(facade, "press-revoked")
    identity = "spiffe://example.com/fleet/line-a/device/press-revoked"
    held = Holds(HALF)
    running = pull_path(upstream, upstream.blob(BLOB, get=held))
    async with (
        device_stream(facade.port, facade.device().tls(), running) as other,
        raw_connection(revoked) as cut,
    ):
        await cut.send(request_bytes(path.encode()))
        assert await cut.head() == (200, len(BLOB))
        await begin_to_drain(facade)
        await write_and_wait(facade, own_writer, own_writer.device_revocation(identity))
        await cut.until_reset()
        held.gate.set()
        assert await other.end() is End.WHOLE
    assert await ended(facade) == 0


async def test_another_process_on_the_address_takes_every_new_connection(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """With FACADE_REUSE_PORT nobody is sent away, and the running pull is finished all the same."""
    settings = {"FACADE_REUSE_PORT": "true", "FACADE_DRAIN_TIMEOUT": "2m"}
    leaves = start_facade(own_writer, own_database.facade_url, settings)
    await connect(leaves, own_writer, upstream)
    digest = upstream.blob(bytes(MANY_BYTES))
    path, other = pull_path(upstream, digest), another(leaves)
    async with device_stream(leaves.port, leaves.device().tls(), path) as stream:  # unread so far
        stays = Facade.start(
            leaves.files,
            own_database.facade_url,
            {
                **settings,
                "FACADE_LISTEN": f"127.0.0.1:{leaves.port}",
                "FACADE_STATE_DIR": str(leaves.files.folder / "state-of-another"),
            },
        )
        try:
            await begin_to_drain(leaves)
            statuses = [(await ask(other, PING)).status for _ in range(20)]
            assert statuses == [200] * 20
            assert leaves.child.running
            assert await stream.end() is End.WHOLE
            assert stream.digest == digest
        finally:
            stays.child.kill()
    assert await ended(leaves) == 0


async def test_a_pull_that_does_not_finish_in_time_is_cut(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """With a reset: it must not look whole."""
    facade = start_facade(own_writer, own_database.facade_url, {"FACADE_DRAIN_TIMEOUT": "300ms"})
    await connect(facade, own_writer, upstream)
    digest = upstream.blob(BLOB, get=STALLED)
    async with raw_connection(facade.device()) as pulling:
        await pulling.send(request_bytes(pull_path(upstream, digest).encode()))
        assert await pulling.head() == (200, len(BLOB))
        facade.child.process.send_signal(signal.SIGTERM)
        received = await pulling.until_reset()
    assert len(received) < len(BLOB)
    assert await ended(facade) == 0
    assert facade.log_lines(level="error") == []


async def test_an_idle_facade_stops_at_once(own_facade: Facade) -> None:
    """The drain timeout is a bound, not a pause. A device that just connected may still ask."""
    async with raw_connection(own_facade.device()) as connection:
        await connection.send(PING)
        assert (await connection.answer()).status == 200
        own_facade.child.process.send_signal(signal.SIGTERM)
        assert await connection.rest() == b""
    assert await ended(own_facade) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(
    own_facade: Facade, upstream: RegistrySimulator, second: signal.Signals
) -> None:
    """Whoever asks twice does not want to wait; the running pull does not look whole."""
    held = Holds(HALF)
    digest = upstream.blob(BLOB, get=held)
    async with raw_connection(own_facade.device()) as pulling:
        await pulling.send(request_bytes(pull_path(upstream, digest).encode()))
        assert await pulling.head() == (200, len(BLOB))
        await begin_to_drain(own_facade)
        own_facade.child.process.send_signal(second)
        assert await ended(own_facade) == 1
        assert len(await pulling.rest()) < len(BLOB)
        held.gate.set()
    (line,) = [each for each in logged(own_facade) if each["event"] == "ended at once"]
    assert line["signal"] == second.name


async def test_a_facade_that_waits_for_postgres_stops_too(
    own_writer: StatementWriter, start_facade: StartFacade
) -> None:
    """Nothing that it tries again and again holds it up."""
    facade = start_facade(own_writer, "postgresql://u:p@127.0.0.1:1/d", wait=False)
    facade.child.process.send_signal(signal.SIGTERM)
    assert await ended(facade) == 0


async def ended(facade: Facade) -> int:
    """Return the exit status, once there is one."""
    await eventually(lambda: not facade.child.running)
    return facade.child.process.wait()


def logged(facade: Facade) -> list[dict[str, Any]]:
    """Return the lines of a facade that has ended."""
    return [orjson.loads(line) for line in facade.log_text.splitlines()]
