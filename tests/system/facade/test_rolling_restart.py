"""Facades are restarted one after the other while devices pull, and no pull is lost.

Devices try again only if a connection breaks; any answer but the bytes fails the test.
"""

import asyncio
import signal
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade, FacadeFiles
from tests.support.facade_states import connect, pull_path
from tests.support.memory import MIB
from tests.support.pulling_devices import pulling
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.support.tcp_balancer import TcpBalancer

DEVICES = 8
BLOB = bytes(range(256)) * (MIB // 256)


class Pair:
    """Two facades that believe the same, and start one after the other."""

    def __init__(self, folder: Path, writer: StatementWriter, database_url: str) -> None:
        self._writer, self._database_url = writer, database_url
        self.files = FacadeFiles.write(
            folder,
            statement_public_pem=writer.statement_public_pem,
            sealing_private_pem=writer.sealing_private_pem,
        )
        self.started: list[Facade] = []

    def start(self, settings: Mapping[str, str] | None = None) -> Facade:
        """Start one more, with a state folder and a store of its own."""
        folder = self.files.folder
        self.started.append(
            Facade.start(
                self.files,
                self._database_url,
                {
                    "FACADE_STATE_DIR": str(folder / f"state-{len(self.started)}"),
                    "FACADE_CACHE_DIR": str(folder / f"store-{len(self.started)}"),
                    "FACADE_CACHE_MAX_BYTES": "1GiB",
                    **(settings or {}),
                },
            )
        )
        return self.started[-1]

    def devices(self) -> list[ssl.SSLContext]:
        """Return how each device speaks TLS."""
        issued = [self.files.device_ca.issue_device(device=f"press-{n}") for n in range(DEVICES)]
        return [self.started[0].device(each).tls() for each in issued]


@pytest.fixture
def pair(
    tmp_path: Path, own_writer: StatementWriter, own_database: FacadeDatabase
) -> Iterator[Pair]:
    """None started yet."""
    made = Pair(tmp_path / "pair", own_writer, own_database.facade_url)
    yield made
    for facade in made.started:
        facade.child.kill()


async def stop(facade: Facade) -> None:
    """Tell it to stop, and return when it has ended well."""
    facade.child.process.send_signal(signal.SIGTERM)
    await eventually(lambda: not facade.child.running)
    assert facade.child.process.wait() == 0
    assert facade.log_text.count('"event":"stopped"') > 0


async def restart(facade: Facade) -> None:
    """Start it again, while devices pull."""
    await asyncio.to_thread(facade.restart)


async def test_no_pull_is_lost_behind_a_balancer_that_looks_at_nothing(
    pair: Pair, own_writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """It only notices that a facade takes no connection, and asks the other one then."""
    facades = [pair.start()]
    await connect(facades[0], own_writer, upstream)
    facades.append(pair.start())
    digest = upstream.blob(BLOB)
    path = pull_path(upstream, digest)
    async with (
        TcpBalancer([each.port for each in facades]) as balancer,
        pulling(balancer.port, pair.devices(), path, digest) as load,
    ):
        for facade in facades:
            await stop(facade)
            await load.more(DEVICES)
            await restart(facade)
            await load.more(DEVICES)
    assert load.sent_away > 0
    assert balancer.refused > 0


async def test_no_pull_is_lost_by_processes_on_one_address(
    pair: Pair, own_writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Each connection goes to one that listens; who had connected to one that stops is served."""
    first = pair.start({"FACADE_REUSE_PORT": "true"})
    await connect(first, own_writer, upstream)
    on_one_address = {"FACADE_REUSE_PORT": "true", "FACADE_LISTEN": f"127.0.0.1:{first.port}"}
    facades = [first, pair.start(on_one_address)]
    digest = upstream.blob(BLOB)
    path = pull_path(upstream, digest)
    async with pulling(first.port, pair.devices(), path, digest) as load:
        for facade in facades:
            await stop(facade)
            await load.more(DEVICES)
            await restart(facade)
            await load.more(DEVICES)
    assert load.sent_away > 0
