"""What a thousand, ten thousand and a hundred thousand approved connections cost, and how it grows.

The times are printed and not judged, for the machine may be busy; how much is read is judged.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from deploy.dev.postgres import Postgres
from shared.oci import RepositoryName
from shared.statement import ConnectionApproval
from tests.faults.extent import extent
from tests.faults.report import FaultReport
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.memory import MIB, Memory
from tests.support.statement_writer import StatementWriter
from tests.support.tcp_proxy import TcpProxy
from tests.system.facade.conftest import StartFacade

NOTIFIED: Final = 50
ONE_HOST: Final = "hub.example"  # half of the connections are its, each with a prefix
LOAD_SECONDS: Final = 300.0
TICKS_PER_SECOND: Final = 100  # proc(5): of utime and stime
MAX_BYTES_FOR_ONE: Final = 8 * 1024  # an approval's row has about 1 KiB
NOWHERE: Final = "postgresql://nobody:nothing@127.0.0.1:1/none"


def approval(writer: StatementWriter, number: int) -> ConnectionApproval:
    """Return one of many approvals."""
    if number % 2:
        return writer.approval(f"registry-{number}.example", username="robot", token="token")
    prefix = RepositoryName.parse(f"team-{number}/models")
    return writer.approval(ONE_HOST, username="robot", token="token", repository_prefix=prefix)


async def fill(writer: StatementWriter, count: int) -> None:
    """Have so many approved connections in the database."""
    await writer.write_many(approval(writer, number) for number in range(count))


def metric(facade: Facade, name: str) -> float:
    """Return a metric without labels."""
    found = re.search(rf"^{name} (\S+)$", facade.operations("/metrics")[1], re.MULTILINE)
    assert found is not None
    return float(found[1])


def cpu_seconds(facade: Facade) -> float:
    """Return what the facade has used so far."""
    fields = Path(f"/proc/{facade.child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


async def worst_lag(facade: Facade, until: Callable[[], bool]) -> tuple[float, float]:
    """Return the seconds until something holds, and the worst lag of the loop meanwhile."""
    metric(facade, "facade_loop_lag_seconds")
    began, worst = time.monotonic(), 0.0

    def holds() -> bool:
        nonlocal worst
        worst = max(worst, metric(facade, "facade_loop_lag_seconds"))
        return until()

    await eventually(holds, LOAD_SECONDS)
    return time.monotonic() - began, worst


@pytest.mark.long
@pytest.mark.parametrize("count", extent([], [1_000, 10_000, 100_000]))
async def test_many_connections(
    count: int,
    postgres: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    fault_report: FaultReport,
) -> None:
    """A change reads that subject alone; a comparison is small; nothing stops the loop for long."""
    await fill(own_writer, count)
    with TcpProxy(postgres.port) as link:
        url = own_database.facade_url.replace(f":{postgres.port}/", f":{link.port}/")
        facade = start_facade(own_writer, url, {"FACADE_LOG_LEVEL": "info"}, wait=False)
        load_seconds, load_lag = await worst_lag(facade, facade.is_ready)
        assert metric(facade, "facade_approved_connections") == count

        used = cpu_seconds(facade)
        link.reset()
        await eventually(lambda: "serving the last" in facade.operations("/readyz")[1])
        _, poll_lag = await worst_lag(
            facade, lambda: "following" in facade.operations("/readyz")[1]
        )
        poll_cpu = cpu_seconds(facade) - used

        used, read = cpu_seconds(facade), link.bytes_answered
        seconds = [await one_change(facade, own_writer, number) for number in range(NOTIFIED)]
        change_cpu = (cpu_seconds(facade) - used) / NOTIFIED
        assert (link.bytes_answered - read) / NOTIFIED < MAX_BYTES_FOR_ONE
        memory = Memory.of(facade.child.pid)

    facade.child.kill()
    facade.environment["FACADE_DATABASE_URL"] = NOWHERE
    facade.restart(wait=False)
    restart_seconds, restart_lag = await worst_lag(facade, facade.is_ready)
    restart_cpu = cpu_seconds(facade)
    assert metric(facade, "facade_approved_connections") == count + NOTIFIED
    fault_report.distribution(f"approve to believed, {count:,} connections", seconds)
    fault_report.row(
        f"{count:,} connections",
        f"lag of the loop: load {load_lag * 1000:.0f} ms, poll {poll_lag * 1000:.0f} ms,"
        f" restart {restart_lag * 1000:.0f} ms",
        f"load {load_seconds:.1f} s, poll {poll_cpu:.2f} CPU s, change {change_cpu * 1000:.1f}"
        f" CPU ms, {memory.peak / MIB:.0f} MiB,"
        f" restart {restart_seconds:.1f} s with {restart_cpu:.1f} CPU s",
    )


async def one_change(facade: Facade, writer: StatementWriter, number: int) -> float:
    """Approve one more; return the seconds until it serves."""
    before = metric(facade, "facade_approved_connections")
    statement = approval(writer, 1_000_000 + number)
    began = time.monotonic()
    await writer.write(statement)
    await eventually(lambda: metric(facade, "facade_approved_connections") > before)
    return time.monotonic() - began
