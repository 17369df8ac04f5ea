"""Postgres dies, freezes, falls silent, or is another one now: devices notice nothing."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from deploy.dev.postgres import Postgres
from tests.faults.report import FaultReport
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path, until_accepted
from tests.support.pooler import transaction_pooler
from tests.support.retrying_device import RetryingDevice
from tests.support.simulators.registry import RegistrySimulator
from tests.support.standby import Standby
from tests.support.statement_writer import StatementWriter
from tests.support.tcp_proxy import TcpProxy, without_notifications
from tests.system.facade.conftest import StartFacade
from tests.system.facade.pulls import outcome_of

# A silent link is noticed by the heartbeat: 5 s until one is sent, 5 s without an answer, and then
# a new connection. The rest is for a loaded machine.
NOTICED_SECONDS: Final = 30.0
POOLED: Final = 4
STOPS: Final = 12
CONTENT: Final = bytes(range(256)) * 4000


@pytest.fixture
def own_database(mortal_database: FacadeDatabase) -> FacadeDatabase:
    """A database on a server that these tests kill and freeze."""
    return mortal_database


@pytest.fixture
def proxy(mortal: Postgres) -> Iterator[TcpProxy]:
    """The network between a facade and Postgres."""
    with TcpProxy(mortal.port) as started:
        yield started


def through(proxy: TcpProxy, database: FacadeDatabase, postgres: Postgres) -> str:
    """Return the facade's URL by way of the proxy."""
    return database.facade_url.replace(f":{postgres.port}/", f":{proxy.port}/")


async def require_pull(facade: Facade, upstream: RegistrySimulator, content: bytes) -> str:
    """Pull something new, and tell what the device saw."""
    digest = upstream.blob(content)
    pull = await RetryingDevice(facade.device()).pull(pull_path(upstream, digest), digest)
    assert pull.content == content
    return str(pull)


async def require_heard(
    facade: Facade,
    writer: StatementWriter,
    seconds: float = NOTICED_SECONDS,
    *,
    says: str = "following the database",
) -> float:
    """Approve a host; return how long the facade took to believe it."""
    approval = writer.approval("heard.example")
    written = time.monotonic()
    await writer.write(approval)
    await until_accepted(facade, approval, seconds)
    heard = time.monotonic() - written
    await eventually(lambda: says in facade.operations("/readyz")[1])
    return heard


def problem(facade: Facade) -> bool:
    """Tell whether the metrics say that the database has a problem."""
    return 'facade_problem{part="database"} 1.0' in facade.operations("/metrics")[1]


@pytest.mark.long  # tests/system/facade has its parts
async def test_a_killed_postgres(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    fault_report: FaultReport,
) -> None:
    """SIGKILL; the facade is restarted meanwhile; the server comes back."""
    facade = start_facade(own_writer, own_database.facade_url)
    await connect(facade, own_writer, upstream)
    mortal.kill()
    await eventually(lambda: problem(facade))
    saw = await require_pull(facade, upstream, CONTENT)
    facade.child.kill()
    facade.restart()
    assert "serving the last snapshot" in facade.operations("/readyz")[1]
    saw_after = await require_pull(facade, upstream, CONTENT[1:])
    mortal.start()
    seconds = await require_heard(facade, own_writer)
    assert not problem(facade)
    fault_report.row(
        "Postgres killed, the facade restarted without it",
        f"{saw}; {saw_after}",
        f"by itself, {seconds:.1f} s behind Postgres",
    )


@pytest.mark.long
async def test_a_facade_that_is_told_to_stop_while_postgres_stops(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    fault_report: FaultReport,
) -> None:
    """The end of the link wakes up who is being stopped; in one of twelve it went on for ever."""
    for number in range(STOPS):
        facade = start_facade(own_writer, own_database.facade_url)
        stopping = asyncio.create_task(asyncio.to_thread(mortal.stop))
        await asyncio.sleep(random.uniform(0, 0.1))  # noqa: S311 - any moment of a shutdown
        status = facade.stop()
        await stopping
        mortal.start()
        assert status == 0, f"stop {number}"
    fault_report.row(f"Postgres stops, and the facade, {STOPS} times", "nothing", "ended each time")


@pytest.mark.long
async def test_a_frozen_postgres(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    fault_report: FaultReport,
) -> None:
    """SIGSTOP: connections stay open, new ones are taken by the kernel, and nobody answers."""
    facade = start_facade(own_writer, own_database.facade_url)
    await connect(facade, own_writer, upstream)
    mortal.pause()
    frozen = time.monotonic()
    try:
        await eventually(lambda: problem(facade), NOTICED_SECONDS)
        noticed = time.monotonic() - frozen
        saw = await require_pull(facade, upstream, CONTENT)
        assert facade.operations("/readyz")[0] == 200
    finally:
        mortal.resume()
    seconds = await require_heard(facade, own_writer)
    fault_report.row(
        "Postgres frozen",
        saw,
        f"noticed in {noticed:.1f} s; by itself {seconds:.1f} s behind Postgres",
    )


async def test_a_reset_link(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    proxy: TcpProxy,
    fault_report: FaultReport,
) -> None:
    """A load balancer that restarts, say."""
    facade = start_facade(own_writer, through(proxy, own_database, mortal))
    await connect(facade, own_writer, upstream)
    proxy.reset()
    saw = await require_pull(facade, upstream, CONTENT)
    seconds = await require_heard(facade, own_writer)
    fault_report.row("link to Postgres reset", saw, f"heard {seconds:.1f} s after it was written")


@pytest.mark.long
async def test_a_link_that_is_half_open(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    proxy: TcpProxy,
    fault_report: FaultReport,
) -> None:
    """A firewall forgot it: the NOTIFY that goes down it is lost, the next poll an hour off."""
    facade = start_facade(own_writer, through(proxy, own_database, mortal))
    await connect(facade, own_writer, upstream)
    proxy.forget()
    saw = await require_pull(facade, upstream, CONTENT)
    seconds = await require_heard(facade, own_writer)
    fault_report.row(
        "link to Postgres half-open", saw, f"heard {seconds:.1f} s after it was written"
    )


@pytest.mark.long
async def test_a_partition(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    proxy: TcpProxy,
    fault_report: FaultReport,
) -> None:
    """Nothing passes, on new links neither; then everything does."""
    facade = start_facade(own_writer, through(proxy, own_database, mortal))
    approval = await connect(facade, own_writer, upstream)
    proxy.hold()
    await own_writer.revoke(approval.connection_id)
    await eventually(lambda: problem(facade), NOTICED_SECONDS)
    assert "cannot be read" in facade.operations("/readyz")[1]
    saw = await require_pull(facade, upstream, CONTENT)  # nobody could tell us
    released = time.monotonic()
    proxy.release()
    device, path = facade.device(), pull_path(upstream, upstream.blob(CONTENT))

    async def is_refused() -> bool:
        return (await outcome_of(device, path)).status == 404  # cut in the middle, at first

    await eventually(is_refused, NOTICED_SECONDS)
    seconds = time.monotonic() - released
    fault_report.row(
        "partition from Postgres", saw, f"revocation took effect {seconds:.1f} s behind its end"
    )


async def test_a_lost_notify(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    fault_report: FaultReport,
) -> None:
    """LISTEN is accepted and nothing is ever heard, as on a transaction pooler: the poll hears."""
    with TcpProxy(mortal.port, make_filter=without_notifications) as pooler:
        url = through(pooler, own_database, mortal)
        facade = start_facade(own_writer, url, {"FACADE_POLL_INTERVAL": "1s"})
        deaf = start_facade(own_writer, url)  # the control: it polls once an hour
        await connect(facade, own_writer, upstream)
        seconds = await require_heard(facade, own_writer)
        saw = await require_pull(facade, upstream, CONTENT)
        assert deaf.log_lines(event="statement accepted") == []
    fault_report.row(
        "every NOTIFY lost, polled each second", saw, f"heard {seconds:.1f} s after it was written"
    )


@pytest.mark.long
async def test_a_transaction_pooler(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """A real PgBouncer, with fewer sessions than facades: each query may meet another session."""
    with transaction_pooler(tmp_path, mortal, own_database.name) as port:
        url = own_database.facade_url.replace(f":{mortal.port}/", f":{port}/")
        settings = {"FACADE_POLL_INTERVAL": "500ms"}
        facades = [start_facade(own_writer, url, settings) for _ in range(POOLED)]
        seen = set()
        for facade in facades:
            approval = await connect(facade, own_writer, upstream)
            seen.add(await require_pull(facade, upstream, CONTENT))
            await own_writer.revoke(approval.connection_id)
        seconds = max([await require_heard(facade, own_writer) for facade in facades])
        assert not [line for facade in facades for line in facade.log_lines(level="error")]
    fault_report.row(
        f"{POOLED} facades on a transaction pooler of 2 sessions",
        ", ".join(seen),
        f"heard {seconds:.1f} s after it was written",
    )


FAILOVERS: Final[dict[str, Callable[[Postgres], None]]] = {
    "killed": Postgres.kill,
    "frozen": Postgres.pause,
}


@pytest.mark.parametrize("how", ["killed", pytest.param("frozen", marks=pytest.mark.long)])
async def test_a_failover(
    how: str,
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """The standby is promoted, and takes the writes; the first host of the URL is dead or mute."""
    with Standby(tmp_path, mortal) as standby:
        facade = start_facade(own_writer, of_both(own_database, mortal, standby, "primary"))
        await connect(facade, own_writer, upstream)
        standby.catch_up()
        FAILOVERS[how](mortal)
        standby.promote()
        own_writer.owner_url = on(standby, own_database.owner_url, mortal)
        seconds = await require_heard(facade, own_writer, 2 * NOTICED_SECONDS)
        saw = await require_pull(facade, upstream, CONTENT)
        fault_report.row(
            f"primary {how}, standby promoted", saw, f"heard {seconds:.1f} s after it was written"
        )


@pytest.mark.long
async def test_a_standby_is_all_there_is(
    mortal: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """It refuses LISTEN, so it is polled; once promoted it is listened to, on the same link."""
    with Standby(tmp_path, mortal) as standby:
        url = on(standby, own_database.facade_url, mortal)
        facade = start_facade(own_writer, url, {"FACADE_POLL_INTERVAL": "1s"})
        await connect(facade, own_writer, upstream)
        saw = await require_pull(facade, upstream, CONTENT)
        polled = await require_heard(facade, own_writer, says="it is polled")
        mortal.kill()
        standby.promote()
        await eventually(lambda: is_listened_to(facade))
        fault_report.row(
            "a read-only standby, then promoted", saw, f"polled ({polled:.1f} s), then listened to"
        )


def is_listened_to(facade: Facade) -> bool:
    """Tell whether it follows a database that it need not poll."""
    words = facade.operations("/readyz")[1]
    return "following the database" in words and "polled" not in words


def on(server: Postgres, url: str, first: Postgres) -> str:
    """Return the URL of the same database on another server."""
    return url.replace(f":{first.port}/", f":{server.port}/")


def of_both(database: FacadeDatabase, first: Postgres, second: Postgres, target: str) -> str:
    """Return the facade's URL with both servers, in this order."""
    place = f"127.0.0.1:{first.port}"
    url = database.facade_url.replace(place, f"{place},127.0.0.1:{second.port}")
    return f"{url}?target_session_attrs={target}"
