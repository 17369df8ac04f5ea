"""The device agent brings a big model with little memory, over a link that breaks, killed twice.

`make faults` does it with 2 GiB in 256 MiB of memory and a break every 20 seconds; `make test` with
less of each. A kill ends the whole namespace, as a machine's end does.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
from attrs import define, evolve, field

from deploy.dev.image import Destination, push_big_artifact
from deploy.dev.processes import Child
from deploy.dev.registry import Registry
from device_agent.partial import PIECE_BYTES
from tests.conftest import ROBOT, ROBOT_PASSWORD
from tests.faults.extent import FAULTS, extent
from tests.faults.report import FaultReport
from tests.support.agent_device import SURROUNDINGS, AgentDevice
from tests.support.facade_process import Facade
from tests.support.facade_states import write_and_wait
from tests.support.memory import MIB, Memory
from tests.support.signed_fleet import SignedFleet
from tests.support.statement_writer import StatementWriter
from tests.support.tcp_proxy import TcpProxy
from tests.system.devices.conftest import fleet  # noqa: F401 the same fleet

SIZE = extent(48, 2048) * MIB
BYTES_PER_SECOND = extent(24, 24) * MIB
BREAK_SECONDS = extent(2.0, 20.0)
MACHINE_MEMORY = 256 * MIB
KILLS_AT = (SIZE // 3, SIZE * 2 // 3)
# What a break or a kill loses: what the sockets, the proxy and TLS hold, and of a kill the piece
# that was not whole.
IN_FLIGHT = 4 * MIB
TLS_SHARE = 1.01  # records and handshakes beside the content
MAX_PEAK = 96 * MIB  # of the process: Python with its libraries takes 50
RUN_SECONDS = 1200
POLL_SECONDS = 0.02


@contextmanager
def small_machine() -> Iterator[list[str]]:
    """Give what makes a command run in a namespace of its own with as much memory as a device has.

    In `make faults`; it takes root and the kernel's memory controller.
    """
    namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if not FAULTS.runs_all:
        yield namespace
        return
    version_1 = Path("/sys/fs/cgroup/memory")
    group = (version_1 if version_1.is_dir() else Path("/sys/fs/cgroup")) / "device-agent-test"
    group.mkdir(exist_ok=True)
    limit = "memory.limit_in_bytes" if version_1.is_dir() else "memory.max"
    (group / limit).write_text(str(MACHINE_MEMORY))
    try:
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh", *namespace]
    finally:
        with contextlib.suppress(OSError):  # a killed process may be in it for a moment
            group.rmdir()


@define
class WatchedRuns:
    """Runs of the agent, one after the other, until one has done it."""

    device: AgentDevice
    link: TcpProxy
    prefix: list[str]
    kills: int = 0
    peak: int = field(default=0, init=False)

    async def until_done(self) -> None:
        """Start it again whenever it ends; kill it where that is due."""
        async with asyncio.timeout(RUN_SECONDS):
            while await self._run() != 0:
                pass

    async def _run(self) -> int:
        path = self.device.write_configuration()
        agent = [sys.executable, "-m", "device_agent", "--config", str(path), "update"]
        log = self.device.folder / "agent.log"
        child = Child.start([*self.prefix, *agent], log=log, environment=SURROUNDINGS)
        while child.running:
            self._look(child)
            if self.kills < len(KILLS_AT) and self.link.bytes_answered > KILLS_AT[self.kills]:
                self.kills += 1
                return child.kill()
            await asyncio.sleep(POLL_SECONDS)
        assert child.process.returncode in {0, 75}, child.log_tail
        return child.process.returncode or 0

    def _look(self, child: Child) -> None:
        """Remember the most memory that an agent has held."""
        with contextlib.suppress(OSError, KeyError, ValueError):  # it has just ended
            inner = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
            self.peak = max([self.peak, *(Memory.of(int(pid)).peak for pid in inner)])


@asynccontextmanager
async def breaking(link: TcpProxy) -> AsyncIterator[list[int]]:
    """Reset every open connection of a link, again and again; give a list that grows with each."""
    breaks: list[int] = []

    async def go_on() -> None:
        while True:
            await asyncio.sleep(BREAK_SECONDS)
            link.reset()
            breaks.append(link.bytes_answered)

    task = asyncio.create_task(go_on())
    try:
        yield breaks
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_big_model_comes_over_a_link_that_breaks_through_two_kills(
    fleet: SignedFleet,  # noqa: F811 the fixture
    facade: Facade,
    writer: StatementWriter,
    htpasswd_registry: Registry,
    repository: str,
    fault_report: FaultReport,
) -> None:
    """No byte is bought twice but those in flight, memory is flat, and it is right in the end."""
    host = htpasswd_registry.host
    login = {"Authorization": aiohttp.encode_basic_auth(ROBOT, ROBOT_PASSWORD)}
    artifact = await push_big_artifact(Destination(htpasswd_registry.url, repository, login), SIZE)
    approval = writer.approval(host, username=ROBOT, token=ROBOT_PASSWORD, plain_http=True)
    await write_and_wait(facade, writer, approval)
    fleet.name(artifact, repository=f"{host.replace(':', '_')}/{repository}")
    fleet.keys.sign_all(fleet.repository)
    with (
        TcpProxy(facade.port, bytes_per_second=BYTES_PER_SECOND) as link,
        small_machine() as prefix,
    ):
        device = evolve(fleet.device, facade_url=f"https://localhost:{link.port}")
        runs = WatchedRuns(device, link, prefix)
        async with breaking(link) as breaks:
            await runs.until_done()
        bought = link.bytes_answered
    assert (await device.run("verify")).status == 0
    assert device.model.stat().st_size == SIZE
    lost = len(breaks) * IN_FLIGHT + runs.kills * (PIECE_BYTES + IN_FLIGHT)
    figure = f"{bought / SIZE:.3f} x bought, {len(breaks)} breaks, peak {runs.peak / MIB:.0f} MiB"
    assert runs.kills == len(KILLS_AT)
    assert breaks
    assert bought < SIZE * TLS_SHARE + lost, figure
    assert runs.peak < MAX_PEAK, figure
    fault_report.row(f"device agent, {SIZE // MIB} MiB: {figure}", "the model, right", "by itself")
