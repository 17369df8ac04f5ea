"""A facade that is told to stop lets running pulls finish, and nobody new in."""

import asyncio
import hashlib
import signal

import pytest

from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.behaviour import Slow, Stalls
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade

BLOB = b"a running pull" * 100_000
# About a second: long enough to be caught in the middle, short enough to wait for.
SLOWLY = Slow(piece_bytes=len(BLOB) // 20, pause_seconds=0.05)
STALLED = Stalls(after=len(BLOB) // 2)


@pytest.fixture
async def own_facade(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> Facade:
    """A facade with the registry connected, that gives running pulls ten seconds."""
    facade = start_facade(own_writer, own_database.facade_url, {"FACADE_DRAIN_TIMEOUT": "10s"})
    await connect(facade, own_writer, upstream)
    return facade


@pytest.mark.parametrize("with_signal", [signal.SIGTERM, signal.SIGINT])
async def test_a_running_pull_is_finished_and_nothing_new_begins(
    own_facade: Facade, upstream: RegistrySimulator, with_signal: signal.Signals
) -> None:
    """Whole and right; meanwhile the facade is not ready and listens to nobody."""
    facade = own_facade
    digest = upstream.blob(BLOB, get=SLOWLY)
    device, idle = facade.device(), facade.device()
    async with raw_connection(idle) as kept_alive, raw_connection(device) as pulling:
        await kept_alive.send(request_bytes(b"/v2/"))
        assert (await kept_alive.answer()).status == 200
        await pulling.send(request_bytes(pull_path(upstream, digest).encode()))
        assert await pulling.head() == (200, len(BLOB))
        facade.child.process.send_signal(with_signal)
        await eventually(lambda: facade.operations("/readyz")[0] == 503)
        assert facade.operations("/readyz")[1] == "shutting down\n"
        assert facade.operations("/healthz")[0] == 200
        with pytest.raises(ConnectionError):
            async with raw_connection(facade.device()):
                pass
        assert await kept_alive.rest() == b""
        body = await pulling.exactly(len(BLOB))
    assert hashlib.sha256(body).hexdigest() == digest.partition(":")[2]
    assert await ended(facade) == 0
    assert [line["event"] for line in facade.log_lines(logger="facade")][-2:] == [
        "draining",
        "stopped",
    ]
    assert facade.log_lines(level="error") == []


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
    """The drain timeout is a bound, not a pause."""
    async with raw_connection(own_facade.device()) as connection:
        await connection.send(request_bytes(b"/v2/"))
        assert (await connection.answer()).status == 200
        own_facade.child.process.send_signal(signal.SIGTERM)
        assert await ended(own_facade) == 0


async def test_a_second_signal_changes_nothing(
    own_facade: Facade, upstream: RegistrySimulator
) -> None:
    """Impatient supervisors repeat themselves; the running pull is finished all the same."""
    digest = upstream.blob(BLOB, get=SLOWLY)
    async with raw_connection(own_facade.device()) as pulling:
        await pulling.send(request_bytes(pull_path(upstream, digest).encode()))
        assert await pulling.head() == (200, len(BLOB))
        for repeated in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            own_facade.child.process.send_signal(repeated)
            await asyncio.sleep(0.05)
        assert await pulling.exactly(len(BLOB)) == BLOB
    assert await ended(own_facade) == 0


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
    return facade.child.process.returncode
